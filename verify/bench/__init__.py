"""What verification costs on this machine and what it sees, beside the tools that people use: ``verify bench``.

    function.py     what a benchmark function is; ridge.py, softmax.py, layer_norm.py, network.py are the four
    floor.py, ours.py, peers.py    every tool: is this rule right at a case drawn anew?
    speed.py, sensitivity.py, sizes.py, claims.py    the parts; measure.py runs them
    record.py, ratios.py, tables.py, report.py, plot.py    what was measured, and how it is shown: no JAX
"""
