"""The three solvers of a row's system on the CPU, compiled by Numba.

All work in the basis that diagonalises the fixed side's Gramian (`trainer.als.basis`). There the part of the system
that all rows share, w0 G + lambda_i I, is the diagonal D_i, and with

    Z = W^(1/2) V D^(-1/2),    t = D^(1/2) u,    r = W^(-1/2) (w0 + W) a     (the row's entries only)

the row solve of `trainer.als.wals` becomes  (I + Z'Z) t = Z' r.  From it:

- `exact`: t = Z' (I + Z Z')^-1 r for a row with at most k entries, a system of the size of the row, not of k;
  (I + Z'Z)^-1 Z' r for a longer row;
- `conjugate_gradient` on (I + Z'Z): the shared part needs no k x k product, and D is already the preconditioner;
- `block_descent` (iALS++, arXiv 2110.14044): exact in one block of t after the other; the products Z t are updated.

No eigenvalue of these matrices is below 1, so none of the solvers can fail, in float32 either.

Each solver takes `arguments.Entries`, `arguments.RowSystems`, positions of rows (int32) and the table `out` (float32
[n, k], in the basis). It writes the solution of the row at a position into out[keys[position]]; the iterative solvers
start from the values in `out`. It returns float64 [3]: the rows' unregularised loss, regularisation, and sum of R C E.
"""
