#!/usr/bin/env bash
# Generates gen/ from protos/. With a folder as argument: into that folder instead (tests compare).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
out=${1:-.}
rm -rf "$out/gen/payments" "$out/gen/buf"
buf generate --path protos/payments --path protos/third_party/buf -o "$out" 2> >(grep -v "^Writing mypy" >&2)
# Every generated folder is a package; the stubs of mypy-protobuf for gRPC live beside them.
find "$out/gen/payments" "$out/gen/buf" -type d -exec touch {}/__init__.py \;
find "$out/gen" -name '*_pb2_grpc.pyi' | while read -r stub; do
  [ -e "${stub%i}" ] || rm "$stub" # a file without a service has no gRPC module
done
touch "$out/gen/payments/py.typed"
