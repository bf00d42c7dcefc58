"""The benchmark of ranks: its cases, its tables, and what it computes from them."""

import json

import pytest

from bench.distributed import page
from bench.distributed.__main__ import add, launcher, same, write
from bench.distributed.cases import CASES, RANKS
from bench.readme import BEGIN


@pytest.fixture
def found() -> dict:
    """Results of two turns, as they are read back from a file."""
    rows = {}
    for case in CASES[:2]:
        for ranks in RANKS:
            for kind, problem in case.problems(ranks).items():
                row = rows[f"{case.name} {ranks} {kind}"] = {
                    "sizes": case.sizes, "batch": problem.batch_size, "ranks": ranks,
                    "scaling": kind, "bytes": case.gradient_bytes, "values": {"ours": [900, 1100]},
                }  # fmt: skip
                if ranks < 4:
                    row["values"]["ddp"] = [1800, 4400]
                if ranks > 1:
                    row["sums"] = {"share": 0.25, "us": 200}
    blas = {"internal_api": "openblas", "version": "0.3", "architecture": "Zen"}
    machine = {"processor": "a processor", "blas": blas, "variables": {}, "cores": 2, "others": 0.1}
    return json.loads(
        json.dumps({"date": "2000-01-01", "machine": machine, "versions": {}, "rows": rows})
    )


def test_ranks_divide_every_batch_and_rows_suffice():
    for case in CASES:
        for ranks in RANKS:
            for problem in case.problems(ranks).values():
                assert problem.batch_size % ranks == 0
                assert problem.rows <= 60_000
                assert problem.epochs >= 2
    strong, weak = CASES[0].problems(4).values()
    assert (strong.batch_size, weak.batch_size) == (CASES[0].batch, 4 * CASES[0].batch)
    assert CASES[0].gradient_bytes == 4 * (785 * 128 + 129 * 10)


def test_a_ring_moves_nearly_twice_the_bytes():
    link = page.Link("", bytes_s=1e9, latency=1e-3, source="")
    assert page.ring_seconds(1, 10**9, link) == 0
    assert page.ring_seconds(2, 10**9, link) == pytest.approx(1 + 2e-3)
    assert page.ring_seconds(4, 10**9, link) == pytest.approx(1.5 + 6e-3)


def test_every_row_has_as_many_cells(found):
    rows = [*found["rows"].values()]
    for table, lines in (
        (page.measured_table(rows), len(rows)),
        (page.hosts_table(rows), 2 * len(page.LINKS)),
        (page.gpus_table(rows), len(page.LINKS) + len(page.GPU_LINKS)),
    ):
        shown = [*table]
        assert len(shown) == 2 + lines
        assert len({line.count("|") for line in shown}) == 1


def test_the_tables_say_what_was_measured_and_what_was_computed(found):
    text = page.section(found)
    ours, theirs = "1.00 (0.95–1.05)", "3.10 (2.45–3.75)"
    assert f"| 128 | 2 | strong | {ours} | {theirs} | 0.38 (0.31–0.44) | 25% | 0.20 |" in text
    assert f"| 128 | 4 | strong | {ours} |  |  | 25% | 0.20 |" in text
    assert text.count("**Computed, not measured**") == 2
    assert "Medians of 2 turns" in text
    assert BEGIN in page.PAGE.read_text(encoding="utf-8")


def test_losses_that_differ_are_another_training():
    assert same([2.0, 1.0], [2.009, 1.0])
    assert not same([2.0, 1.0], [2.011, 1.0])


def test_a_second_call_replaces_what_it_measured_again(found, tmp_path, capsys):
    path = tmp_path / "new" / "results.json"
    write(found, path)
    first, *others = found["rows"]
    again = {**found, "rows": {first: {"new": True}}}
    again["machine"] = {**found["machine"], "others": 0.0}
    write(again, path)
    merged = json.loads(path.read_text(encoding="utf-8"))
    assert merged["rows"] == {**found["rows"], first: {"new": True}}
    assert [*merged["rows"]] == [first, *others]
    assert merged["machine"]["others"] == 0.1
    assert capsys.readouterr().out.count("wrote") == 2


def test_turns_are_added_up_row_by_row():
    rows: dict = {}
    for ours, theirs in ((1, 2), (3, 4)):
        add(rows, {"a": {"ranks": 2, "values": {"ours": ours, "ddp": theirs}}})
    add(rows, {"b": {"ranks": 4, "values": {"ours": 5}}})
    assert rows["a"] == {"ranks": 2, "values": {"ours": [1, 3], "ddp": [2, 4]}}
    assert rows["b"]["values"] == {"ours": [5]}


def test_one_process_of_pytorch_needs_no_launcher():
    assert len(launcher("ddp", 1)) == 1
