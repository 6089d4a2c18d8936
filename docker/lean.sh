#!/bin/sh
# lean.sh FOLDER: remove what is installed below a folder and nothing runs: tests of packages, and of torch its compiled
# tests and the headers for C++. Without the headers torch.compile has nothing to build with, as without a compiler.
set -eu
find "$1" -path '*-packages/*' -type d -name tests -prune -exec rm -rf {} +
for torch in $(find "$1" -path '*-packages/torch' -type d -prune); do
    rm -rf "$torch/test" "$torch/include"
    find "$torch/bin" -type f ! -name torch_shm_manager -delete || true  # no such folder
done
