"""A bound: 64 steps of one row in a single kernel of one block.

mlp_xp writes its steps with the functions of NumPy and CuPy alone, and so launches a kernel for
each. This kernel, for 784-128-10 only, shows what that gives up at batch 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.gpu.experiment import Experiment
from bench.problem import Problem, read
from mlp_xp.data import MNIST

STEPS = 64
KERNEL = r"""
extern "C" __global__ void window(const float* P, const float* G, const float* target, float rate,
                                  float* U_out, float* V) {
  // A thread a hidden unit. P: X W of all rows. G: X X^T. V: the second layer, its bias last.
  // The steps add X^T U to W: row j's inputs to the hidden units are P[j] + G[j] U.
  const int M = 64, H = 128, C = 10;
  __shared__ float U[M * H], W[(H + 1) * C], A[H + 1], part[C * 12], z[C];
  int t = threadIdx.x;
  for (int i = t; i < (H + 1) * C; i += H) W[i] = V[i];
  if (t == 0) A[H] = 1;
  __syncthreads();
  for (int j = 0; j < M; j++) {
    float Z = P[j * H + t];
    for (int i = 0; i < j; i++) Z += G[j * M + i] * U[i * H + t];
    A[t] = Z > 0 ? Z : 0;
    __syncthreads();
    if (t < C * 12) {  // twelve threads a class
      float sum = 0;
      for (int h = t % 12; h <= H; h += 12) sum += A[h] * W[h * C + t / 12];
      part[t] = sum;
    }
    __syncthreads();
    if (t < C) {
      float sum = 0;
      for (int p = 0; p < 12; p++) sum += part[t * 12 + p];
      z[t] = sum;
    }
    __syncthreads();
    float top = z[0], sum = 0, back = 0, d[C];
    for (int k = 1; k < C; k++) top = max(top, z[k]);
    for (int k = 0; k < C; k++) sum += d[k] = expf(z[k] - top);
    for (int k = 0; k < C; k++) d[k] = rate * (target[j * C + k] - d[k] / sum);
    for (int k = 0; k < C; k++) {
      back += d[k] * W[t * C + k];
      W[t * C + k] += A[t] * d[k];
      if (t == 0) W[H * C + k] += d[k];
    }
    U[j * H + t] = Z > 0 ? back : 0;
    __syncthreads();
  }
  for (int i = t; i < (H + 1) * C; i += H) V[i] = W[i];
  for (int j = 0; j < M; j++) U_out[j * H + t] = U[j * H + t];
}
"""


def experiment(on: Experiment) -> None:
    problem = Problem(batch_size=1, rows=STEPS, lr=0.01)
    X, target, W, V = start(problem)
    xp = on.gpu.xp
    P, G = (xp.asarray(array, "f4") for array in (X @ W, X @ X.T))
    device_V, U = xp.asarray(V, "f4"), xp.empty((STEPS, 128), "f4")
    device_target, kernel = xp.asarray(target, "f4"), xp.RawKernel(KERNEL, "window")
    arguments = (P, G, device_target, np.float32(problem.lr), U, device_V)
    kernel((1,), (128,), arguments)
    found = (W + X.T @ U.get().astype("f8"), device_V.get())
    plain_sgd(X, target, W, V, problem.lr)
    apart = max(abs(a - b).max() / abs(b).max() for a, b in zip(found, (W, V), strict=True))
    on.check(apart < 1e-5, f"{STEPS} steps in one kernel: {apart:.0e} from SGD in float64")
    taken = on.whole_us(lambda: kernel((1,), (128,), arguments), STEPS)
    on.figure(taken, "us a step", "batch 1, the steps of a window without its two large products")


def start(problem: Problem) -> tuple[Any, ...]:
    """Rows that end in a 1, their one-hot targets, and both layers, the biases last: float64."""
    data = read(MNIST)
    X = np.hstack([data.X[:STEPS] / 255, np.ones((STEPS, 1))])
    layers = (np.vstack([W, b]).astype("f8") for W, b in problem.weights())
    return X, np.eye(10)[data.y[:STEPS]], *layers


def plain_sgd(X: Any, target: Any, W: Any, V: Any, rate: float) -> None:
    """The same steps, as a textbook has them; changes W and V."""
    for x, t in zip(X, target, strict=True):
        Z = x @ W
        A = np.append(np.maximum(Z, 0), 1)
        e = np.exp(A @ V - (A @ V).max())
        d = rate * (t - e / e.sum())
        back = (V[:-1] @ d) * (Z > 0)
        V += np.outer(A, d)
        W += np.outer(x, back)
