"""Training on the ranks of an MPI program beside PyTorch's DistributedDataParallel.

    python -m bench.distributed [--only NAME,NAME] [--turns N]     measures, writes results/
    python -m bench.distributed.page FILE                          its tables, in docs/scaling.md

| file | what it is for |
|---|---|
| `__main__.py` | the command: starts the programs in turn, writes the results |
| `cases.py` | what is measured: networks, batches, numbers of ranks |
| `worker.py` | what runs on each rank: one peer, one network |
| `ours.py`, `ddp.py` | the two peers |
| `page.py` | results as the tables in `docs/scaling.md`, and what they come to on more hosts |
"""
