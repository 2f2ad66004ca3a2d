"""What is expected of the claims in this directory: verdicts, and the diagnosis kinds that name the mistake.

``wrong.py`` and ``right.py`` hold classes A to H of the mistakes on record, ``wrong_more.py`` and ``right_more.py``
classes I to M; claims are named ``R15_wrong`` and ``R15_right``, a few with a variant: ``R03_real_wrong``.
``invented*.py`` hold ``N01_wrong``, ``N01_right`` and so on, in the same classes.
"""

from collections.abc import Mapping

HISTORICAL = ("wrong", "wrong_more", "right", "right_more")
INVENTED = ("invented", "invented_more", "invented_last")

CLASSES = {
    "A": "sign / constant slip in the local derivative",
    "B": "missing or duplicated Jacobian term",
    "C": "wrong operand or wrong function differentiated",
    "D": "transpose / axis / shape bookkeeping",
    "E": "reduction / accumulation",
    "F": "upstream cotangent lost or misapplied",
    "G": "wrong branch, kink, tie or special exponent",
    "H": "singular point (0/0, 0*inf)",
    "I": "overflow / cancellation / low precision",
    "J": "mask / index / option ignored",
    "K": "complex conjugation",
    "L": "higher order only",
    "M": "device / memory layout / uninitialised / race",
}

ENTRIES = {
    "A": ("R01", "R02", "R03"),
    "B": ("R12",),
    "C": ("R04", "R05", "R31"),
    "D": ("R06", "R08", "R09", "R37", "R39"),
    "E": ("R07", "R34", "R35", "R41"),
    "F": ("R13", "R14", "R32", "R33"),
    "G": ("R15", "R16", "R17", "R18", "R40"),
    "H": ("R19", "R20"),
    "I": ("R21", "R22", "R23", "R42"),
    "J": ("R24", "R25", "R26", "R36", "R38"),
    "K": ("R10", "R11"),
    "L": ("R29", "R30"),
    "M": ("R27", "R28"),
}
INVENTED_ENTRIES = {
    "A": ("N01", "N02", "N03", "N36"),
    "B": ("N04", "N05", "N06", "N07", "N08", "N09", "N37", "N38"),
    "C": ("N10", "N11", "N39"),
    "D": ("N12", "N13", "N14", "N15", "N16", "N40", "N41", "N48"),
    "E": ("N17", "N18", "N19", "N20", "N42"),
    "F": ("N21", "N22", "N43"),
    "G": ("N23", "N24", "N25", "N44"),
    "H": ("N26", "N27", "N45"),
    "I": ("N28", "N29", "N30", "N46"),
    "J": ("N31", "N32", "N47"),
    "K": ("N33",),
    "L": ("N34",),
    "M": ("N35",),
}
CLASS_OF = {entry: cls for cls, entries in ENTRIES.items() for entry in entries}
INVENTED_CLASS_OF = {entry: cls for cls, entries in INVENTED_ENTRIES.items() for entry in entries}

ACCEPTED_KINDS = {
    "A": ("sign", "factor", "entries"),
    "B": ("missing_term", "extra_term", "factor", "wrong_argument", "region"),
    "C": ("wrong_argument", "missing_term", "extra_term", "region", "dimension"),
    "D": ("transpose", "shape", "reduction", "dimension", "entries", "factor"),
    "E": ("reduction", "dimension", "entries", "factor", "missing_term", "shape"),
    "F": ("cotangent", "factor", "missing_term"),
    "G": ("region", "singular", "entries", "sign"),
    "H": ("singular", "region"),
    "I": ("precision", "overflow", "region", "singular"),
    "J": ("entries", "region", "wrong_argument", "missing_term", "extra_term", "dimension", "factor"),
    "K": ("conjugate",),
    "L": ("missing_term", "sign", "factor", "wrong_argument", "singular", "region", "extra_term"),
    "M": ("nondeterministic", "entries", "dimension"),
}

# Kinds that describe the mistake truly although its class does not list them. They do not count as naming it.
TRUE_OF = {
    "R02": ("dimension",),  # right up to degree 2
    "R09": ("missing_term", "region"),  # a term of the series, where the norm is small
    "R17": ("factor", "cotangent"),  # zero everywhere
    "R29": ("precision",),  # right in exact arithmetic
}

NOT_EXPRESSIBLE = {
    "R22": "a rounding left out: against the exact derivative the hand version is the better one",
    "R28": "strides of a non-contiguous cotangent: a JAX array has none",
}

# Claimed and judged, but not counted: what goes wrong is only imitated here.
STAND_INS = {
    "R27": "a race in a GPU's shared memory: imitated by chance, in a callback",
}

# What a difference quotient cannot judge, so that tools which take one are not asked.
NO_QUOTIENT = {
    "N43": "stop_gradient: the derivative that the author means is not that of the values",
}

# Right in exact arithmetic, so the verdict is `inaccurate`; either word finds the mistake.
INACCURATE = ("R23", "R29", "N28", "N29", "N30", "N46")


def entry_of(claim: str) -> str:
    """``R03_real_wrong`` -> ``R03``."""
    return claim.split("_")[0]


def class_of(claim: str) -> str:
    """The class of the mistake in a claim: a letter."""
    entry = entry_of(claim)
    return CLASS_OF[entry] if entry in CLASS_OF else INVENTED_CLASS_OF[entry]


def accepted_kinds(claim: str) -> tuple[str, ...]:
    """The diagnosis kinds that name the mistake of a ``..._wrong`` claim."""
    return ACCEPTED_KINDS[class_of(claim)]


def accepted_verdicts(claim: str) -> tuple[str, ...]:
    """The verdicts that find the mistake of a ``..._wrong`` claim."""
    return ("wrong", "inaccurate") if class_of(claim) in "IL" else ("wrong",)


def departure(claim: str, verdict: str, kind: str | None) -> str | None:
    """How the outcome of a claim departs from what is expected of it; None if it does not.

    A mistake must be found, and its right version not accused. The kind is not asked for here: nine in ten
    must name the mistake (``named``).
    """
    if claim.startswith("AD"):
        wanted = (autodiff_verdict(claim),)
    elif claim.endswith("_right"):
        wanted = ("agrees", "convention", "reference_wrong")
    elif claim.startswith("subtle"):
        wanted = ("wrong",)
    else:
        wanted = accepted_verdicts(claim)
    return None if verdict in wanted else f"{claim} ended {verdict} ({kind}), wanted {' or '.join(wanted)}"


def named(kinds: Mapping[str, str | None]) -> dict[str, bool]:
    """Whether each mistake is named: entry -> one of its claims (claim -> kind) has a kind of its class.

    Stand-ins are not counted.
    """
    found: dict[str, bool] = {}
    for claim, kind in kinds.items():
        if entry_of(claim) not in STAND_INS:
            found[entry_of(claim)] = found.get(entry_of(claim), False) or kind in accepted_kinds(claim)
    return found


# Of ``autodiff_wrong.py``: everything claimed there ends as ``reference_wrong``, of AD20 as ``convention``.
AUTODIFF_NOT_CLAIMED = {
    "AD03": "log(sigmoid(x)) and log(softmax(x)): the primal is -inf wherever the gradient is NaN",
    "AD05": "logsumexp, logaddexp and softmax of -inf: the primal is not finite",
    "AD06": "logsumexp with where=: fixed in JAX",
    "AD18": "linear interpolation at integers: fixed in JAX",
    "AD19": "implicit broadcasting in a custom rule: JAX refuses the shape, no number is wrong",
}


def autodiff_verdict(claim: str) -> str:
    """The verdict of a claim in ``autodiff_wrong.py``."""
    return "convention" if claim.startswith("AD20") else "reference_wrong"
