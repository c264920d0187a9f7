"""The prefetching process and its workers, as real processes: bytes, sharing, ends and failures."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import psutil
import pytest

from fastload.errors import DoesNotFitError, StreamError
from fastload.prefetch import client, memory_file, process, protocol
from fastload.prefetch.client import Weights
from fastload.shard import shard_checkpoint
from fastload.vllm import early_start
from tests.fastload.checkpoints import bits, llama_tensors, reference_tensors, write_checkpoint
from tests.fastload.hostile import BUCKET, Fault, HostileStore
from tests.waiting import until

KEY = "model/model.safetensors"
REQUEST = {"location": f"s3://{BUCKET}/model/"}


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a container of its own."""
    monkeypatch.setenv(protocol.SESSION_VARIABLE, os.urandom(8).hex())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
def checkpoint(tmp_path: Path, store: HostileStore) -> Path:
    """A checkpoint on the disk and, the same, in the store."""
    folder = write_checkpoint(tmp_path / "model", llama_tensors())
    store.objects[KEY] = (folder / "model.safetensors").read_bytes()
    return folder


def prefetchers() -> list[psutil.Process]:
    """The prefetching processes of this test."""
    children = psutil.Process().children(recursive=True)
    session = os.environ[protocol.SESSION_VARIABLE]
    return [
        child
        for child in children
        if "fastload.prefetch" in _command(child)
        and child.environ().get(protocol.SESSION_VARIABLE) == session
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.NoSuchProcess:
        return []


def assert_right(weights: Weights, folder: Path) -> None:
    loaded, expected = dict(weights.tensors()), reference_tensors(folder)
    assert set(loaded) == set(expected)
    for name, tensor in expected.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(loaded[name]) == bits(tensor), name


def test_a_plain_checkpoint_is_loaded_as_it_is_and_the_process_ends(checkpoint: Path) -> None:
    with Weights(REQUEST) as weights:
        assert_right(weights, checkpoint)
        weights.finish()
    until(lambda: not prefetchers())


def test_workers_share_one_process_and_each_byte_leaves_the_store_once(
    checkpoint: Path, store: HostileStore
) -> None:
    client.begin(REQUEST)
    client.begin(REQUEST)
    first = Weights(REQUEST, world=2)
    second = Weights(REQUEST, world=2)
    assert len(prefetchers()) == 1
    for weights in (first, second):
        assert_right(weights, checkpoint)
        weights.finish()
    first.close()
    assert prefetchers(), "the second worker has not left yet"
    second.close()
    until(lambda: not prefetchers())
    spans = [tuple(map(int, span.removeprefix("bytes=").split("-"))) for _, key, span in store.requests
             if key == KEY and span]  # fmt: skip
    data_start = 8 + int.from_bytes(store.objects[KEY][:8], "little")
    read_bytes = sum(stop + 1 - start for start, stop in spans if start >= data_start)
    assert read_bytes == len(store.objects[KEY]) - data_start


def test_workers_share_a_session_although_nothing_was_begun_ahead_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(protocol.SESSION_VARIABLE)
    monkeypatch.delenv("FASTLOAD_LOCATION", raising=False)
    early_start.begin()
    session = os.environ[protocol.SESSION_VARIABLE]
    early_start.begin()  # in a worker, which has inherited it
    assert os.environ[protocol.SESSION_VARIABLE] == session
    assert not prefetchers()


def test_what_one_worker_writes_another_does_not_see(checkpoint: Path) -> None:
    with Weights(REQUEST, world=2) as first, Weights(REQUEST, world=2) as second:
        for _, tensor in first.tensors():
            tensor.zero_()
        assert_right(second, checkpoint)
        first.finish()
        second.finish()


@pytest.mark.parametrize("ending", ["", "complete"])
def test_a_worker_is_told_whether_everything_was_there_before_it_came(ending: str) -> None:
    load = process.Prefetch(REQUEST)
    load.greeting, load.ending = {"size_bytes": 1}, ending
    load.descriptor = os.memfd_create("weights")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Thread(target=process._tell, args=(theirs, load), daemon=True).start()
        greeting, descriptor = protocol.receive_greeting(ours)
        os.close(descriptor)
        load._end("complete")
        assert ours.recv(100) == b"complete\n"
    os.close(load.descriptor)
    assert greeting["is_complete"] == (ending == "complete")


@pytest.mark.parametrize(("does_not_fit", "kind"), [(True, DoesNotFitError), (False, StreamError)])
def test_a_worker_is_told_whether_only_memory_is_missing(
    monkeypatch: pytest.MonkeyPatch, does_not_fit: bool, kind: type[StreamError]
) -> None:
    load = process.Prefetch(REQUEST)
    load.does_not_fit = does_not_fit
    load._end("failed because of this")
    ours, theirs = socket.socketpair()
    with theirs:
        process._tell(theirs, load)
        monkeypatch.setattr(Weights, "_attach", lambda self: (ours, *protocol.receive_greeting(ours)))
        with pytest.raises(StreamError, match="because of this") as caught:
            Weights(REQUEST)
    assert type(caught.value) is kind


def test_tensors_outlive_the_process_that_read_them(checkpoint: Path) -> None:
    with Weights(REQUEST) as weights:
        loaded = dict(weights.tensors())
        weights.finish()
    until(lambda: not prefetchers())
    for name, tensor in reference_tensors(checkpoint).items():
        assert bits(loaded[name]) == bits(tensor)


@pytest.mark.parametrize("kind", ["reset", "truncate", "throttle", "error"])
def test_passing_faults_of_the_store_end_in_the_right_bytes(
    checkpoint: Path, store: HostileStore, kind: str
) -> None:
    store.faults.append(Fault(kind, KEY, times=2))
    with Weights(REQUEST) as weights:
        assert_right(weights, checkpoint)
        weights.finish()


def load(request: dict[str, str] = REQUEST) -> None:
    with Weights(request) as weights:
        dict(weights.tensors())
        weights.finish()


def test_a_location_without_a_model_is_named(store: HostileStore) -> None:
    with pytest.raises(StreamError, match=r"bucket/nothing holds no"):
        load({"location": f"s3://{BUCKET}/nothing/"})
    until(lambda: not prefetchers(), within_s=40)


def test_a_file_that_the_index_names_and_the_store_lacks_is_named(
    store: HostileStore, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "model", llama_tensors(), files=2)
    for path in sorted(folder.iterdir())[1:]:
        store.objects[f"model/{path.name}"] = path.read_bytes()
    with pytest.raises(StreamError, match=r"model-00001-of-00002\.safetensors"):
        load()


def test_an_object_that_is_cut_short_is_named(checkpoint: Path, store: HostileStore) -> None:
    store.objects[KEY] = store.objects[KEY][:-100]
    with pytest.raises(StreamError, match="cut short"):
        load()


def test_a_wrong_checksum_ends_the_load_although_length_and_etag_fit(
    checkpoint: Path, store: HostileStore
) -> None:
    right = base64.b64encode(zlib.crc32(store.objects[KEY]).to_bytes(4, "big")).decode()
    store.checksums[KEY] = {"x-amz-checksum-crc32": right, "x-amz-checksum-type": "FULL_OBJECT"}
    load()
    store.faults.append(Fault("corrupt", KEY, times=100))
    os.environ[protocol.SESSION_VARIABLE] = os.urandom(8).hex()
    store.faults[0].key = "no such key"
    data = bytearray(store.objects[KEY])
    data[-1] ^= 1
    store.objects[KEY] = bytes(data)
    with pytest.raises(StreamError, match="is corrupt: crc32"):
        load()


@pytest.fixture
def without_awscrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image whose model data brings fastload alone."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "awscrt.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "hidden"), *sys.path]))


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme"])
def test_a_checksum_of_s3_is_compared_with_awscrt(
    checkpoint: Path, store: HostileStore, algorithm: str
) -> None:
    wrong = base64.b64encode(bytes(8 if algorithm == "crc64nvme" else 4)).decode()
    store.checksums[KEY] = {f"x-amz-checksum-{algorithm}": wrong, "x-amz-checksum-type": "FULL_OBJECT"}
    with pytest.raises(StreamError, match=f"is corrupt: {algorithm}"):
        load()


@pytest.mark.usefixtures("without_awscrt")
def test_a_checksum_that_cannot_be_computed_is_named(
    checkpoint: Path, store: HostileStore, capfd: pytest.CaptureFixture[str]
) -> None:
    store.checksums[KEY] = {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-checksum-type": "FULL_OBJECT"}
    load()
    assert (
        "verified: length and ETag, not CRC64NVME (awscrt is not installed), of 1" in capfd.readouterr().err
    )


@pytest.mark.usefixtures("without_awscrt")
def test_shards_are_refused_where_their_checksums_cannot_be_computed(
    checkpoint: Path, tmp_path: Path
) -> None:
    shard_checkpoint(str(checkpoint), str(tmp_path / "shards"))
    with pytest.raises(StreamError, match="verified by CRC32C, for which the package awscrt is missing"):
        load({"location": str(tmp_path / "shards")})


def test_weights_that_do_not_fit_into_memory_are_refused_before_anything_is_read(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_file, "available_bytes", lambda: 600 << 20)
    with pytest.raises(StreamError, match=r"are 0\.21 GB, but only 0\.63 GB of memory is free"):
        memory_file.create(200 << 20)


def test_a_killed_process_is_reported_to_the_worker_and_leaves_nothing(
    checkpoint: Path, store: HostileStore
) -> None:
    store.faults.append(Fault("stall", KEY, times=1000))
    client.begin(REQUEST)
    until(lambda: store.asked("GET", KEY))
    prefetchers()[0].send_signal(signal.SIGKILL)
    until(lambda: not prefetchers())
    store.faults.clear()
    store.released.set()
    with Weights(REQUEST) as weights:  # a new process takes over
        assert_right(weights, checkpoint)
        weights.finish()


def test_a_process_dies_with_whoever_started_it(checkpoint: Path, store: HostileStore) -> None:
    store.faults.append(Fault("stall", KEY, times=1000))
    script = f"from fastload.prefetch import client; import time; client.begin({REQUEST}); time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", script])
    try:
        parent = psutil.Process(server.pid)
        until(lambda: any("fastload.prefetch" in _command(child) for child in parent.children()))
        child = parent.children()[0]
    finally:
        server.kill()
        server.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_process_outlives_the_thread_that_asked_for_it(checkpoint: Path, store: HostileStore) -> None:
    store.faults.append(Fault("stall", KEY, times=1))
    is_reading = threading.Event()

    def ask() -> None:
        client.begin(REQUEST)
        is_reading.wait(20)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: store.asked("GET", KEY))
    (started,) = prefetchers()
    is_reading.set()
    asking.join()
    store.released.set()
    with Weights(REQUEST) as weights:
        assert [process.pid for process in prefetchers()] == [started.pid]
        assert_right(weights, checkpoint)
        weights.finish()


@pytest.mark.usefixtures("checkpoint")
def test_a_process_whose_starter_is_killed_at_once_does_not_stay(store: HostileStore) -> None:
    """Before Linux has been asked to end it with its parent, which is after its imports."""
    store.faults.append(Fault("stall", KEY, times=1000))
    script = (
        "import os, signal\n"
        "from fastload.prefetch import client\n"
        f"client.begin({REQUEST})\n"
        "print(next(open(f'/proc/self/task/{tid}/children').read().split()[0]"
        " for tid in os.listdir('/proc/self/task') if open(f'/proc/self/task/{tid}/children').read()),"
        " flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    orphan = int(done.stdout)
    until(lambda: not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE)


def test_a_worker_that_dies_does_not_count_as_done(checkpoint: Path) -> None:
    with Weights(REQUEST):
        pass  # left without finish
    assert prefetchers()
    with Weights(REQUEST) as weights:
        assert_right(weights, checkpoint)
        weights.finish()
    until(lambda: not prefetchers())
