#!/bin/sh
# Compiles the kernel programs to bpf/*.o, or into the directory that is named. Byte for byte the same from any folder: no debug
# information, no paths. Debian: clang-19 libbpf-dev.
set -eu
into=$(realpath "${1:-$(dirname "$0")}")
cd "$(dirname "$0")"
for source in *.bpf.c; do
	${CLANG:-clang-19} -O2 -mcpu=v3 -target bpf -Wall -Werror \
		-I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu \
		-c "$source" -o "$into/${source%.bpf.c}.o"
done
