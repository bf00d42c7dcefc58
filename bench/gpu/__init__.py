"""What only a GPU can tell. `bench/gpu.sh` runs all of it; not part of the package.

| file | what it is for |
|---|---|
| `__main__.py` | `python -m bench.gpu FOLDER`: the experiments, each in a process of its own |
| `experiment.py` | what runs in such a process, and how an experiment reports and times |
| `costs.py` | what a launch costs the host, and the step's products the device |
| `capturing.py` | which operations a graph can hold |
| `steps.py` | whether windows and graphs pay, and whether the bits are the same twice |
| `transfers.py` | whether pinned memory is read at full speed, and what streaming the rows costs |
| `bound.py` | a whole window in one kernel: what calling a library for each operation gives up |
| `nccl.py` | whether NCCL runs, with one rank |
| `card.py` | the card, its driver and its libraries |
| `timings.py` | `python -m bench.gpu.timings`: training beside the CPU, PyTorch and JAX |
| `pytest_plugin.py` | for the tests marked `cuda`: as many as there is time for |
"""
