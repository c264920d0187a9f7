"""Runs in the container: notes a start's heavy imports, first weight and first forward in its log.

Python imports a module of this name when it starts, if its folder is on PYTHONPATH. It must work alone, in
any image: only the standard library, Python 3.8 or later. Nothing here may make a start fail, so every error
is swallowed; then the lines are missing. Processes that import nothing heavy write nothing.
"""

import os
import sys
import time

_HEAVY = {"torch", "transformers", "vllm", "sglang", "text_generation_server", "ray", "flashinfer"}
# Called once for weights or a forward pass; functions that no compiler traces.
_CALLS = {
    "vllm.model_executor.model_loader.weight_utils": (("safetensors_weights_iterator", "first_weight"),),
    "vllm.v1.worker.gpu_model_runner": (("GPUModelRunner._dummy_run", "first_forward"),),
    "fastload.vllm.loader": (("FastloadModelLoader.load_weights", "first_weight"),),
    "sglang.srt.model_loader.weight_utils": (("safetensors_weights_iterator", "first_weight"),),
    "sglang.srt.model_executor.model_runner": (("ModelRunner.forward", "first_forward"),),
}


def _write(event, **fields):
    try:
        words = " ".join(f"{name}={value}" for name, value in fields.items())
        os.write(2, f"[probe] event={event} pid={os.getpid()} {words}\n".encode())
    except Exception:
        pass


def _process_began_s():
    """From the kernel, to a hundredth of a second; otherwise now."""
    now_s = time.time()
    try:
        with open("/proc/self/stat", "rb") as stat, open("/proc/uptime", "rb") as uptime:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
            age_s = float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
        return now_s - age_s if 0 <= age_s < 3600 else now_s
    except Exception:
        return now_s


class _Finder:
    """First on `sys.meta_path`: finds watched modules with the other finders, and times them."""

    def __init__(self):
        self._watched = _HEAVY | set(_CALLS)
        self._noted = set()

    def find_spec(self, name, path=None, target=None):
        if name not in self._watched:
            return None
        try:
            self._watched.discard(name)
            return self._timed(name, path, target)
        except Exception:  # the other finders meet the error again
            return None

    def _timed(self, name, path, target):
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is None:
                continue
            # A loader that is a class is shared by all modules.
            if spec.loader is not None and not isinstance(spec.loader, type):
                self._time(name, spec.loader)
            return spec
        return None

    def _time(self, name, loader):
        execute = loader.exec_module

        def exec_module(module):
            if name in _HEAVY:
                self._once("process", began=f"{_process_began_s():.3f}")
            start_s = time.time()
            execute(module)
            if name in _HEAVY:
                _write("import", module=name, start=f"{start_s:.3f}", end=f"{time.time():.3f}")
            self._watch_calls(name, module)

        loader.exec_module = exec_module

    def _watch_calls(self, name, module):
        try:
            for path, event in _CALLS.get(name, ()):
                *owners, attribute = path.split(".")
                owner = module
                for part in owners:
                    owner = getattr(owner, part)
                setattr(owner, attribute, self._noting(getattr(owner, attribute), event))
        except Exception:  # this version names it differently
            pass

    def _noting(self, function, event):
        def noting(*arguments, **keywords):
            self._once(event)
            return function(*arguments, **keywords)

        noting.__wrapped__ = function
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(noting, attribute, getattr(function, attribute, None))
        return noting

    def _once(self, event, **fields):
        key = (event, os.getpid())
        if key not in self._noted:
            self._noted.add(key)
            _write(event, at=f"{time.time():.3f}", **fields)


def _begin():
    try:
        sys.meta_path.insert(0, _Finder())
    except Exception:
        pass


def _hidden_module():
    """The module of the same name that the image has itself: Python finds only the first one."""
    try:
        from importlib.machinery import PathFinder

        own = os.path.dirname(os.path.abspath(__file__))
        others = [folder for folder in sys.path if os.path.abspath(folder or ".") != own]
        spec = PathFinder.find_spec("sitecustomize", others)
        if spec is None or spec.loader is None:
            return None
        from importlib.util import module_from_spec

        return spec, module_from_spec(spec)
    except Exception:
        return None


if __name__ == "sitecustomize":
    _begin()
    _hidden = _hidden_module()
    if _hidden is not None:
        sys.modules["sitecustomize"] = _hidden[1]
        # Its own errors reach Python as they do without the probe.
        _hidden[0].loader.exec_module(_hidden[1])
