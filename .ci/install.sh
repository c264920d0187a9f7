#!/bin/sh
# Installs this checkout with the named extras into a virtual environment: .ci/install.sh PYTHON .venv local
#
# Fast and small: wheels only, the CPU build of torch (the default build for Linux brings 3 GB of CUDA packages), and uv
# for all other packages. Seconds and megabytes are shown while a step runs.
set -eu
python=$1 venv=$2 extras=$3
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

size_mb() { du -sm "$venv" 2>/dev/null | cut -f1; }

# Runs a command and shows its duration and the size of the environment.
shown() {
    title=$1
    shift
    log=$(mktemp)
    start=$(date +%s)
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        [ -t 1 ] && printf '\r%s … %d s, %s MB ' "$title" "$(($(date +%s) - start))" "$(size_mb)"
        sleep 1
    done
    if ! wait "$pid"; then
        printf '\n'
        tail -n 20 "$log"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    [ -t 1 ] && printf '\r'
    printf '%s: %d s, %s MB in %s\n' "$title" "$(($(date +%s) - start))" "$(size_mb)" "$venv"
}

answers() { "$venv/bin/python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1" 2>/dev/null; }

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "Python's venv module is missing: install it (Debian and Ubuntu: apt install python3-venv)."
    exit 2
}

first=
if ! "$venv/bin/python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    first=yes
    torch=$(grep '^torch==' constraints.txt)
    from=
    if [ "$(uname -sm)" = "Linux x86_64" ] && answers "$torch_index/torch/"; then
        from="--index-url $torch_index"
    fi
    # shellcheck disable=SC2086 -- an option and its value, or nothing
    shown "1/3 $torch" "$venv/bin/python" -m pip install --no-compile --no-deps --only-binary :all: $from "$torch"
fi

with_pip() {
    shown "2/3 other packages (pip)" "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile \
        -c constraints.txt --only-binary :all: --no-binary python-terraform -e ".[$extras]"
}

with_uv() {
    shown "2/3 other packages (uv)" "$uv" pip install --python "$venv/bin/python" -c constraints.txt \
        --only-binary :all: --no-binary python-terraform --no-binary loadbench -e ".[$extras]"
}

# uv is several times as fast as pip, but does not read pip's configuration (a private index, for example): if it
# fails, pip is used.
if ! uv=$(command -v "${UV:-uv}"); then
    uv=$venv/bin/uv
    [ -x "$uv" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --only-binary :all: -c constraints.txt uv 2>/dev/null || true
fi
if [ -x "$uv" ] && with_uv; then :; else with_pip; fi

# Otherwise the first model server compiles what it imports, and its cold start is twice as long as all later ones.
if [ -n "$first" ]; then
    shown "3/3 bytecode of the model server" env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -c \
        'import torch, transformers.models.llama.modeling_llama, localaws.container.engine; from transformers import AutoTokenizer, AutoModelForCausalLM'
fi
