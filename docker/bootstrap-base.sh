#!/bin/sh
# docker/bootstrap-base.sh TARBALL
#
# A stand-in for debian:bookworm-slim where no registry can be reached: Debian's minimal system,
# without the documentation, in TARBALL and as the image localhost/debian:bookworm. An existing
# TARBALL is reused. Needs root.
set -eu
tarball=$1

if [ ! -e "$tarball" ]; then
    mmdebstrap --quiet --mode=root --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        bookworm "$tarball.part.tar"
    # Only a complete tarball gets the name.
    mv "$tarball.part.tar" "$tarball"
fi
podman import "$tarball" localhost/debian:bookworm
