"""Training on the ranks of an MPI program against training alone, and its rules."""

import json
from pathlib import Path

import mpi
import mpi_program
import numpy as np
import pytest

from mlp_xp import Config, InputError, Trainer, get_device
from mlp_xp.training.ranks import own_rows, team_of
from mlp_xp.training.team import Team

SIZES = (2, 3, 4)


FEW = ("dropout, batch 7", "adam, clipped", "validation, patience", "regression")


@pytest.fixture(
    scope="module",
    params=[(2, FEW), *(pytest.param((n, ()), marks=pytest.mark.full) for n in SIZES)],
    ids=lambda param: f"{param[0]} ranks, {len(param[1]) or 'all'} settings",
)
def results(request, tmp_path_factory) -> dict:
    """What mpi_program found on so many ranks."""
    ranks, names = request.param
    out = tmp_path_factory.mktemp("ranks") / "found.json"
    program = Path(mpi_program.__file__)
    status, printed, errors = mpi.run(ranks, str(program), str(out), *names)
    assert status == 0, printed + errors
    return json.loads(out.read_text(encoding="utf-8"))


def test_all_settings_agree_with_one_rank(results):
    names = [name for name in mpi_program.SETTINGS if name in results]
    assert len(names) in (len(FEW), len(mpi_program.SETTINGS))
    for name in names:
        alone = mpi_program.train(mpi_program.SETTINGS[name], window=1)
        mpi.check_same(results[name], alone, name)


def test_the_same_bits_twice_and_on_every_rank(results):
    assert results["again"] == results["dropout, batch 7"]
    assert results["equal"]


def test_what_differs_between_ranks_is_refused(results):
    differ, window = results["refusals"]
    assert differ == "rank 0 and rank 1 differ in their setting seed; start all with the same"
    assert window == "window 4 needs a single rank; leave the window out"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("n_rows", "batch_size"), [(1, 1), (10, 4), (9, 4), (7, 3), (5, 8), (30, 7)]
)
def test_each_row_is_one_ranks(size, n_rows, batch_size):
    found = []
    for rank in range(size):
        team = Team()
        team.rank, team.size = rank, size
        rows = own_rows(team, n_rows, batch_size)
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        found.append(rows)
        counts = np.bincount(rows // batch_size, minlength=-(-n_rows // batch_size))
        whole = n_rows // batch_size
        assert len(set(counts[:whole])) <= 1
    assert sorted(np.concatenate(found)) == list(range(n_rows))


def test_a_single_rank_and_no_communicator_are_a_worker_alone():
    assert type(team_of(None, get_device("cpu"))) is Team
    assert own_rows(Team(), 10, 3) is None


def test_what_is_no_communicator_is_refused():
    with pytest.raises(InputError, match=r"communicator is of type int; give one of mpi4py's"):
        Trainer(mpi_program.data_for("multiclass"), Config(), get_device("cpu"), communicator=4)
