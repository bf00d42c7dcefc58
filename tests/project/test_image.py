"""The images, built and run for real, with buildah and podman in the place of a Docker engine.

Not shown here: the published base image, BuildKit, NVIDIA's container runtime, and anything that
runs on a GPU. Set MLP_XP_IMAGE_CACHE to a folder to keep the bootstrapped base between runs.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import ADDRESSES, two_hosts
from PIL import Image

import mlp_xp
from mlp_xp.runs import RunFolder

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
# Without podman's own tmpfs on /tmp, which Docker doesn't bring.
LOCKED_DOWN = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all")
# Two BLAS threads wait for each other on a machine that is busy: one was 15 times as fast.
ONE_THREAD = "--env=OPENBLAS_NUM_THREADS=1"
STRANGER = "4321:4321"  # a user that the image has never heard of

# No systemd and no bridge: the processes of a container are children of the test's.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""

# Imports CuPy, loads both CUDA libraries and compiles a kernel with CuPy's own headers: as
# much of the GPU code as runs without a GPU.
GPU_PROBE = """
import cupy
from cupy._core.core import assemble_cupy_compiler_options
from cupy.cuda import cublas, nvrtc
source = '''
#include <cupy/carray.cuh>
extern "C" __global__ void relu(CArray<float, 1, 1, 1> x) { x[0] = x[0] > 0 ? x[0] : 0; }
'''
assert cublas.sgemm
program = nvrtc.createProgram(source, "relu.cu", (), ())
nvrtc.compileProgram(program, (*assemble_cupy_compiler_options(()), "-arch=sm_90"))
assert len(nvrtc.getCUBIN(program)) > 1000
loaded = {line.split("/")[-1].split(".so")[0] for line in open("/proc/self/maps") if "/lib" in line}
print(*sorted(name for name in loaded if name.startswith(("libcu", "libnv"))))
"""

# mpiexec's words for what two ranks train.
RANKS = ("-n", 2, "mlp_xp", "train", "--distributed", "--epochs", 1, "--hidden", 16, "--out", "run")

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def call(*command: object, **options: Any) -> Done:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=1200, **options
    )


def tool(name: str) -> str:
    """A program installed beside this Python, or anywhere; skips where there is none."""
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (it is in the image extra)")
    return path


@pytest.fixture(scope="module")
def engine() -> Iterator[dict[str, str]]:
    """The environment of a container engine with its own storage, the base image in it."""
    absent = [name for name in TOOLS if shutil.which(name) is None]
    if absent:
        pytest.skip(f"images are built with {', '.join(TOOLS)}: missing {', '.join(absent)}")
    if os.geteuid() != 0:
        pytest.skip("images are built and run as root here")
    with tempfile.TemporaryDirectory(prefix="mlp_xp-image-") as name:
        folder = Path(name)
        (folder / "containers.conf").write_text(CONTAINERS.format(folder=folder))
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        environment = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "ENGINE": "buildah",
        }
        base = Path(os.environ.get("MLP_XP_IMAGE_CACHE", folder)) / "bookworm.tar"
        done = call(DOCKER / "bootstrap-base.sh", base, env=environment)
        assert done.returncode == 0, done.stderr
        yield environment


def build(engine: dict[str, str], variant: str) -> Run:
    """Builds a variant; returns how it is run."""
    base = "--build-arg=BASE_IMAGE=localhost/debian:bookworm"
    done = call(DOCKER / "build.sh", variant, base, "--layers", env=engine)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def run(
        *arguments: object, options: tuple[object, ...] = (), stdin: str = "", network: str = "none"
    ) -> Done:
        options = (f"--network={network}", *LOCKED_DOWN, ONE_THREAD, *options)
        command = ("podman", "run", "--rm", "-i", *options, f"mlp_xp:{variant}", *arguments)
        return call(*command, env=engine, input=stdin)

    return run


def inspect(engine: dict[str, str], variant: str, field: str) -> str:
    done = call("podman", "image", "inspect", f"--format={field}", f"mlp_xp:{variant}", env=engine)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def cpu(engine) -> Run:
    return build(engine, "cpu")


@pytest.fixture(scope="module")
def cuda13(engine) -> Run:
    return build(engine, "cuda13")


@pytest.fixture(scope="module")
def cpu_mpi(engine) -> Run:
    return build(engine, "cpu-mpi")


def accuracy(output: str) -> str:
    found = re.search(r"^(?:mnist )?test accuracy (\S+%)", output, re.MULTILINE)
    assert found, output
    return found[1]


@pytest.mark.image
def test_the_cpu_image_weighs_at_most_480_mb(engine, cpu):
    """170 MB of them are pyarrow."""
    assert int(inspect(engine, "cpu", "{{.Size}}")) <= 480e6


@pytest.mark.image
def test_the_image_says_what_it_is(engine, cpu):
    labels = inspect(engine, "cpu", "{{.Labels}}")
    assert f"org.opencontainers.image.version:{mlp_xp.__version__}" in labels
    assert inspect(engine, "cpu", "{{.User}}") == "1000:1000"
    # Only what the image needs: nothing of how this machine reaches its packages.
    assert "PIP" not in inspect(engine, "cpu", "{{.Config.Env}} {{.History}}")


@pytest.mark.image
def test_the_cpu_image_runs_without_any_rights(cpu):
    done = cpu("--version")
    assert (done.stdout.splitlines()[0], done.stderr) == (f"mlp_xp {mlp_xp.__version__}", "")
    done = cpu("doctor", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.image
def test_nothing_of_the_build_is_left(cpu):
    places = "/lock /source /wheel /opt/pip /tmp/* /var/lib/apt/lists/* /root/.cache"
    search = f"command -v gcc cc pip pip3; ls -d {places}"
    done = cpu("-c", search, options=("--entrypoint=sh", "--user=0"))
    assert done.stdout == ""
    assert "cannot access '/lock'" in done.stderr


@pytest.mark.image
@pytest.mark.parametrize("user", ["1000:1000", STRANGER])
def test_a_run_comes_out_on_the_volume_and_is_as_good_outside(cpu, tmp_path, user):
    tmp_path.chmod(0o777)
    done = cpu(
        *("train", "--epochs", 1, "--hidden", 16, "--out", "run"),
        options=(f"--user={user}", f"--volume={tmp_path}:/data"),
    )
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "checkpoint.safetensors", "config.json", "metrics.jsonl", "model.safetensors",
    }  # fmt: skip
    outside = call(sys.executable, "-m", "mlp_xp", "evaluate", tmp_path / "run", cwd=ROOT)
    assert accuracy(outside.stdout) == accuracy(done.stdout)


@pytest.mark.image
def test_a_table_and_pictures_are_read(cpu, tmp_path):
    """Nothing can be installed in a container later."""
    tmp_path.chmod(0o777)
    rows = [f"{i % 5},{'red' if i % 2 else 'blue'},{'xy'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["n,color,kind", *rows]) + "\n")
    for name, gray in (("black", 0), ("white", 255)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), gray).save(tmp_path / "pictures" / name / f"{i}.png")
    for data in ("t.csv", "pictures"):
        done = cpu(
            *("train", "--data", data, "--epochs", 40, "--out", f"run-{data}"),
            options=(f"--user={STRANGER}", f"--volume={tmp_path}:/data"),
        )
        assert done.returncode == 0, done.stderr
        assert accuracy(done.stdout) == "100.00%"


@pytest.mark.image
def test_train_is_the_default_and_its_volume_needs_no_name(cpu):
    done = cpu(options=("--env=MLP_XP_REQUIRE_DEVICE=1",))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.image
def test_a_required_device_that_is_missing_is_one_line_and_status_3(cpu):
    done = cpu("train", "--device", "cuda", options=("--env=MLP_XP_REQUIRE_DEVICE=1",))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.image
def test_stopping_the_container_saves_the_run(engine, cpu, tmp_path):
    tmp_path.chmod(0o777)
    command = [
        *("podman", "run", "--rm", "--name=stopped", "--network=none", *LOCKED_DOWN),
        f"--volume={tmp_path}:/data",
        *("mlp_xp:cpu", "train", "--epochs", "10000", "--hidden", "16", "--out", "run"),
    ]
    with subprocess.Popen(command, env=engine, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout
        assert training.stdout.readline().startswith("epoch 1/10000")
        stop = call("podman", "stop", "--time=60", "stopped", env=engine)
        assert stop.returncode == 0, stop.stderr
    assert training.returncode == 128 + signal.SIGTERM
    assert RunFolder(tmp_path / "run").checkpoint.exists()


@pytest.mark.image
def test_the_image_with_mpi_weighs_at_most_530_mb(engine, cpu_mpi):
    assert int(inspect(engine, "cpu-mpi", "{{.Size}}")) <= 530e6


@pytest.mark.image
def test_two_ranks_train_in_a_container_without_any_rights(cpu_mpi, tmp_path):
    tmp_path.chmod(0o777)
    done = cpu_mpi(
        *RANKS,
        options=("--entrypoint=mpiexec", f"--user={STRANGER}", f"--volume={tmp_path}:/data"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 ranks share each step" in done.stderr
    accuracy(done.stdout)
    assert RunFolder(tmp_path / "run").model.exists()


@pytest.mark.image
def test_ranks_are_started_in_another_container_by_ssh(engine, cpu_mpi, tmp_path):
    """As the launcher and a worker of Kubernetes' MPIJob, without Kubernetes: each has an address
    of its own, and a key pair of the job is mounted into both."""
    for name in ("job", "stranger"):
        folder = tmp_path / name
        folder.mkdir()
        done = cpu_mpi(
            *("-q", "-t", "ecdsa", "-b", 521, "-N", "", "-f", "/data/id_rsa"),
            options=("--entrypoint=ssh-keygen", "--user=0", f"--volume={folder}:/data"),
        )
        assert done.returncode == 0, done.stderr
        shutil.copy(folder / "id_rsa.pub", folder / "authorized_keys")
        (folder / "id_rsa").chmod(0o644)  # root's, as Kubernetes mounts it
    (tmp_path / "hostfile").write_text(f"{ADDRESSES[1]}:2\n")
    hosts = f"--volume={tmp_path}/hostfile:/etc/mpi/hostfile:ro"

    def keys(name: str) -> str:
        return f"--volume={tmp_path / name}:/home/mlp_xp/.ssh:ro"

    with two_hosts() as (first, second):
        worker = subprocess.Popen(
            ["podman", "run", "--rm", "--name=worker", "--hostname=worker", *LOCKED_DOWN,
             f"--network=ns:/proc/{second}/ns/net", keys("job"), "--entrypoint=/usr/sbin/sshd",
             "mlp_xp:cpu-mpi", "-De"],
            env=engine, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert "listening" in worker.stderr.readline()
            job, stranger = (
                cpu_mpi(
                    *("-localhost", ADDRESSES[0], *RANKS),
                    network=f"ns:/proc/{first}/ns/net",
                    options=("--entrypoint=mpiexec", keys(name), hosts,
                             "--env=HYDRA_HOST_FILE=/etc/mpi/hostfile"),
                )
                for name in ("job", "stranger")
            )  # fmt: skip
        finally:
            call("podman", "stop", "--time=5", "worker", env=engine)
            worker.communicate()
    assert job.returncode == 0, job.stderr
    assert re.search(r"2 ranks share each step: processes \d+, \d+ on worker", job.stderr)
    accuracy(job.stdout)
    assert stranger.returncode != 0
    assert "Host key verification failed" in stranger.stderr


@pytest.mark.image_gpu
def test_the_cuda_image_weighs_at_most_1_6_gb(engine, cuda13):
    assert int(inspect(engine, "cuda13", "{{.Size}}")) <= 1.6e9


@pytest.mark.image_gpu
def test_the_cuda_image_compiles_kernels_and_loads_what_its_lock_names(cuda13):
    done = cuda13("-", options=("--entrypoint=python", f"--user={STRANGER}"), stdin=GPU_PROBE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["libcublas", "libcublasLt", "libnvrtc", "libnvrtc-builtins"]


@pytest.mark.image_gpu
def test_the_cuda_image_refuses_to_train_without_a_gpu(cuda13):
    done = cuda13()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.image
def test_build_refuses_a_variant_that_it_does_not_know():
    done = call(DOCKER / "build.sh", "rocm")
    assert done.returncode == 2
    assert "'rocm'" in done.stderr


@pytest.mark.image
def test_hadolint_finds_nothing_here_and_something_elsewhere(tmp_path):
    hadolint = tool("hadolint")
    done = call(hadolint, DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp && sudo ls\n")
    assert call(hadolint, tmp_path / "Dockerfile").returncode == 1


@pytest.mark.image
def test_compose_accepts_the_file():
    done = call(tool("docker-compose"), "--profile=*", f"--file={DOCKER}/compose.yaml", "config")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "driver: nvidia" in done.stdout


@pytest.mark.image
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("capabilities: [gpu]", "capabilities: gpu"),
        ("capabilities: [gpu]", ""),
        ("count: 1", "count: many"),
        ("read_only:", "readonly:"),
        ("- kernels:/", "- kernel:/"),
    ],
)
def test_compose_rejects_a_broken_file(tmp_path, right, wrong):
    text = (DOCKER / "compose.yaml").read_text()
    assert right in text
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong))
    done = call(
        tool("docker-compose"), "--profile=*", f"--file={tmp_path}/compose.yaml", "config", "-q"
    )
    assert done.returncode != 0
