"""The benchmark, and the scripts behind the committed data and picture. Not part of the package.

| file | what it is for |
|---|---|
| `__main__.py` | the command: measures, prints, writes `results/` |
| `workloads.py` | what is measured, against which peers, and the targets |
| `problem.py` | the rows, weights, order and learning rates that every peer gets |
| `peers/` | one file per library: its documented best way to train and predict |
| `runner.py` | starts the processes in turn, pinned to as many cores as threads |
| `worker.py` | what runs in such a process: one peer, one workload |
| `machine.py` | what it was measured on: processor, versions, limits of arithmetic and memory |
| `results.py` | from measurements to ratios and verdicts |
| `report.py` | results as text for the terminal |
| `readme.py` | results as the tables in `docs/benchmarks.md` |
| `pictures.py` | results as a picture |
| `distributed/` | training on ranks beside PyTorch's, and what it comes to on more hosts |
| `make_mnist.py` | made `mlp_xp/data/mnist.npz` |
| `gpu.sh` | everything that needs a GPU, in ten minutes: experiments, tests, timings |
| `gpu/` | its experiments and timings |
"""
