#!/bin/sh
# docker/build.sh [cpu|cuda12|cuda13][-mpi] [further options of `build`]
#
# Builds mlp_xp:VARIANT with docker, podman or buildah: with ENGINE, or the first one found.
set -eu
cd "$(dirname "$0")/.."

variant=${1:-cpu}
[ $# -eq 0 ] || shift
case $variant in
    *-mpi) extra=${variant%-mpi} mpi=mpi ;;
    *) extra=$variant mpi= ;;
esac
case $extra in
    cpu) extra= ;;
    cuda12 | cuda13) ;;
    *) echo "build.sh: unknown variant '$variant': cpu, cuda12 or cuda13, or one of them with -mpi" >&2
       exit 2 ;;
esac

if [ -z "${ENGINE:-}" ]; then
    # A docker client without its engine can't build.
    if docker info >/dev/null 2>&1; then ENGINE=docker
    elif command -v podman >/dev/null; then ENGINE=podman
    elif command -v buildah >/dev/null; then ENGINE=buildah
    else echo "build.sh: found no docker engine, podman or buildah" >&2; exit 1
    fi
fi

set -- --file docker/Dockerfile --tag "mlp_xp:$variant" --build-arg "EXTRA=$extra" \
    --build-arg "MPI=$mpi" \
    --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
    --build-arg "REVISION=$(git rev-parse --verify --quiet HEAD 2>/dev/null || echo unknown)" "$@"

# This machine's pip settings are passed to the build, but must not end up in the image.
[ -z "${PIP_INDEX_URL:-}" ] || set -- --build-arg PIP_INDEX_URL "$@"
[ -z "${PIP_CERT:-}" ] || set -- \
    --secret "id=pip-cert,src=$PIP_CERT" --build-arg PIP_CERT=/run/secrets/pip-cert "$@"
[ -z "${PIP_CONFIG_FILE:-}" ] || set -- \
    --secret "id=pip-config,src=$PIP_CONFIG_FILE" \
    --build-arg PIP_CONFIG_FILE=/run/secrets/pip-config "$@"

exec "$ENGINE" build "$@" .
