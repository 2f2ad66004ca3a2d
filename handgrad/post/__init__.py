r"""The post of which this catalogue is the corrected form, line by line: every formula a claim, as printed and, where
it fails, as corrected.

The post derives ridge regression and backpropagation without indices. Each claim carries its place, ``equation="L186"``
(the line on which the formula begins, a letter where a line has several), and its ``form``, ``"printed"`` or
``"corrected"``; its name is both, ``L186.printed``. What fails as printed carries ``expect="wrong"``. Formulas are
executed literally: matrices have two axes, columns are ``n × 1`` and rows ``1 × n``, and an operation whose sizes do
not fit raises rather than being broadcast.

Every symbol has one reading, in the author's favour where the notation leaves a choice:

=====================  ==============================================================================================
symbol                 reading
=====================  ==============================================================================================
‖A‖, ‖A‖_2             Frobenius' norm, for matrices and columns alike (line 147)
V                      the real matrices of one shape, with the inner product tr(A^T B)
L(·)                   applied to a matrix: the derivative of f, or of σ, at the point in question
L                      as an index or a number: how many layers the network has
u, Ã                   the unit matrix along which L is largest, A/‖A‖; at A = 0 any unit matrix
U                      any matrix that meets the condition last put on it: ‖U‖ = 1 on lines 81 and 84, then ‖U‖ = ‖A‖
d, dX                  the differential; dX is any matrix shaped like X, and dW X is (dW) X
∇f(X)                  the gradient in that inner product: a matrix shaped like X
X, Y                   one data point a column; where the row convention is quoted, the X' = X^T, Y' = Y^T of line 203
f(X)                   f of every column of X
S + λ                  of a square matrix S and a number λ: S + λI
(S)^{-1}               stated where S has an inverse
w                      W^T, the weights of the row convention (line 200)
n_l, W_l, b_l, σ_l     of layer l, the layers being numbered 1 to L (line 223); n_0 and n_L are input and output
σ(z_l), σ'(z_l)        σ_l and its derivative, entry by entry
⊙                      the product of entries, of matrices of one shape; it binds less than the matrix product
A_l                    with an index: the diagonal matrix of σ_l'(z_l)
C'                     the derivative of C in a_L, a row
k, l                   indices of layers; two letters are two indices
=====================  ==============================================================================================
"""

# In the order of the post.
from handgrad.post import gradient_and_traces  # noqa: I001
from handgrad.post import cauchy_schwarz
from handgrad.post import linear_regression
from handgrad.post import ridge_minimum
from handgrad.post import network
from handgrad.post import activation
from handgrad.post import one_layer
from handgrad.post import backpropagation
from handgrad.post.places import ENTRIES, Entry

__all__ = [
    "ENTRIES",
    "Entry",
    "activation",
    "backpropagation",
    "cauchy_schwarz",
    "gradient_and_traces",
    "linear_regression",
    "network",
    "one_layer",
    "ridge_minimum",
]
