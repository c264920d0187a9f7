"""TLS whose long reads return to the interpreter once, not once for every record of 16 KiB.

Python's own ssl needs the interpreter 150,000 times for 2.5 GB, and takes it each time from whoever imports
the framework meanwhile. OpenSSL's buffering filter goes on until the caller's memory is full, and may do so
without the interpreter. It is reached by ctypes, in the very library that Python's ssl is linked with; where
that cannot be found, Python's ssl does the work. Sources: BIO_f_buffer(3), SSL_get_error(3) and
X509_VERIFY_PARAM_set_flags(3) of OpenSSL; that a read longer than the filter's buffer goes on until it is
full stands in OpenSSL's crypto/bio/bf_buff.c and is tested.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Mapping
from ctypes import c_char_p, c_int, c_long, c_size_t, c_ulong, c_void_p
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from fastload.errors import StorageError
from fastload.storage.http_connection import limit_waits

if TYPE_CHECKING:
    import ssl

# What OpenSSL asks the kernel for at once, instead of a record's head and then its body.
_READ_BYTES = 256 << 10
# A read of up to this length is served from the filter's own buffer, which would then hold back what follows.
_FILTER_BYTES = 4096
# Numbers of OpenSSL's headers, the same since 1.1.0.
_VERIFY_PEER, _TLS_1_2, _NO_PARTIAL_WILDCARDS = 1, 0x0303, 4
_SET_MIN_VERSION, _SET_READ_AHEAD, _SET_SERVER_NAME, _SET_SSL = 123, 41, 55, 109
_WANT_READ, _WANT_WRITE, _CLEAN_END, _VERIFIED = 2, 3, 6, 0
_SIGNATURES: Mapping[str, tuple[object, ...]] = {
    "TLS_client_method": (c_void_p,),
    "SSL_CTX_new": (c_void_p, c_void_p),
    "SSL_CTX_set_default_verify_paths": (c_int, c_void_p),
    "SSL_CTX_set_verify": (None, c_void_p, c_int, c_void_p),
    "SSL_CTX_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_CTX_set_default_read_buffer_len": (None, c_void_p, c_size_t),
    "SSL_new": (c_void_p, c_void_p),
    "SSL_free": (None, c_void_p),
    "SSL_set_fd": (c_int, c_void_p, c_int),
    "SSL_ctrl": (c_long, c_void_p, c_int, c_long, c_char_p),
    "SSL_get0_param": (c_void_p, c_void_p),
    "SSL_connect": (c_int, c_void_p),
    "SSL_read": (c_int, c_void_p, c_void_p, c_int),
    "SSL_write": (c_int, c_void_p, c_void_p, c_int),
    "SSL_get_error": (c_int, c_void_p, c_int),
    "SSL_get_verify_result": (c_long, c_void_p),
    "X509_VERIFY_PARAM_set1_host": (c_int, c_void_p, c_char_p, c_size_t),
    "X509_VERIFY_PARAM_set1_ip_asc": (c_int, c_void_p, c_char_p),
    "X509_VERIFY_PARAM_set_hostflags": (None, c_void_p, ctypes.c_uint),
    "X509_verify_cert_error_string": (c_char_p, c_long),
    "BIO_f_ssl": (c_void_p,),
    "BIO_f_buffer": (c_void_p,),
    "BIO_new": (c_void_p, c_void_p),
    "BIO_push": (c_void_p, c_void_p, c_void_p),
    "BIO_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "BIO_read": (c_int, c_void_p, c_void_p, c_int),
    "BIO_free_all": (None, c_void_p),
    "ERR_get_error": (c_ulong,),
    "ERR_reason_error_string": (c_char_p, c_ulong),
    "ERR_clear_error": (None,),
}


def secure(plain: socket.socket, host: str) -> TlsSocket | ssl.SSLSocket:
    """Begin TLS on a connected socket; the server's certificate must be trusted and be the host's.

    Trusted is what OpenSSL's defaults say, SSL_CERT_FILE and SSL_CERT_DIR included. Raises StorageError for a
    certificate, OSError for everything else.
    """
    library = openssl()
    return secure_by_python(plain, host) if library is None else TlsSocket(library, plain, host)


def secure_by_python(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """The same by Python's ssl."""
    import ssl

    try:
        return _python_context(*_trust()).wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(host, error.verify_message) from error


class TlsSocket:
    """A TLS connection over a blocking socket, with the methods of a socket that a connection uses.

    The socket's time-out bounds every wait, as does a later `settimeout`. Not safe for use by two threads.
    """

    def __init__(self, library: ctypes.CDLL, plain: socket.socket, host: str) -> None:
        self._library, self._plain = library, plain
        limit_waits(plain, plain.gettimeout() or 0.0)
        self._ssl = c_void_p(library.SSL_new(_context(library, *_trust())))
        self._filter = c_void_p(library.BIO_new(library.BIO_f_buffer()))
        records = c_void_p(library.BIO_new(library.BIO_f_ssl()))
        library.BIO_ctrl(records, _SET_SSL, 0, self._ssl)
        library.BIO_push(self._filter, records)
        try:
            self._expect(host)
            library.SSL_set_fd(self._ssl, plain.fileno())
            if self._checked(library.SSL_connect, self._ssl) != 1:
                raise EOFError("the server closed the connection instead of beginning TLS")
        except OSError as error:
            verdict = library.SSL_get_verify_result(self._ssl)
            self.close()
            if verdict != _VERIFIED:
                reason = library.X509_verify_cert_error_string(verdict).decode()
                raise _not_trusted(host, reason) from error
            raise
        except BaseException:
            self.close()
            raise

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As for the socket below."""
        self._plain.setsockopt(level, option, value)

    def settimeout(self, timeout_s: float) -> None:
        """Bound every wait from here on."""
        limit_waits(self._plain, timeout_s)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of `data`."""
        source = memoryview(data).cast("B")
        if source.readonly:
            address: object = ctypes.cast(c_char_p(bytes(source)), c_void_p)
        else:
            address = c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(source)))
        self._checked(self._library.SSL_write, self._ssl, address, len(source))

    def recv(self, size_bytes: int) -> bytes:
        """What has arrived, at least a byte and at most `size_bytes`; nothing at the connection's end."""
        piece = ctypes.create_string_buffer(size_bytes)
        taken = self._checked(self._library.SSL_read, self._ssl, piece, size_bytes)
        return bytes(memoryview(piece)[:taken])

    def recv_into(self, view: memoryview, size_bytes: int = 0, flags: int = 0) -> int:
        """Fill `view`; less only where the connection ended or stalled before. Returns the bytes read."""
        memory = c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(view)))
        if len(view) > _FILTER_BYTES:
            return self._checked(self._library.BIO_read, self._filter, memory, len(view))
        return self._checked(self._library.SSL_read, self._ssl, memory, len(view))

    def close(self) -> None:
        """Close the connection."""
        if self._filter:
            self._library.BIO_free_all(self._filter)
            self._library.SSL_free(self._ssl)
            self._filter = c_void_p()
        self._plain.close()

    def _expect(self, host: str) -> None:
        library, wanted = self._library, _ascii(host)
        parameters = c_void_p(library.SSL_get0_param(self._ssl))
        library.X509_VERIFY_PARAM_set_hostflags(parameters, _NO_PARTIAL_WILDCARDS)
        try:
            ip_address(host)
        except ValueError:
            taken = library.X509_VERIFY_PARAM_set1_host(parameters, wanted, 0)
            taken = taken and library.SSL_ctrl(self._ssl, _SET_SERVER_NAME, 0, wanted)
        else:
            taken = library.X509_VERIFY_PARAM_set1_ip_asc(parameters, wanted)
        if not taken:  # never go on without a name to check
            raise OSError(f"OpenSSL does not take {host!r} for the name of a host")

    def _checked(self, call: Callable[..., int], subject: c_void_p, *arguments: object) -> int:
        """Call until it is done; 0 is the connection's end. Raises TimeoutError, OSError."""
        while True:
            self._library.ERR_clear_error()
            outcome = int(call(subject, *arguments))
            if outcome > 0:
                return outcome
            number = ctypes.get_errno()
            kind = self._library.SSL_get_error(self._ssl, outcome)
            if kind == _CLEAN_END:
                return 0
            if kind in (_WANT_READ, _WANT_WRITE):
                if number == errno.EINTR:
                    continue
                raise TimeoutError
            code = self._library.ERR_get_error()
            reason = self._library.ERR_reason_error_string(code) if code else None
            raise OSError(reason.decode() if reason else os.strerror(number) if number else "TLS ended early")


@lru_cache(maxsize=1)
def openssl() -> ctypes.CDLL | None:
    """The OpenSSL that Python's ssl uses, with its functions declared; None where it does not show them."""
    import _ssl

    library = ctypes.CDLL(getattr(_ssl, "__file__", None), use_errno=True)
    try:
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError:
        return None
    return library


def _ascii(text: str) -> bytes:
    """A host's name as OpenSSL wants it. Raises OSError for one that no certificate can hold."""
    try:
        return text.encode("ascii")
    except UnicodeEncodeError as error:
        raise OSError(f"the host's name {text!r} is not ASCII") from error


def _trust() -> tuple[str | None, str | None]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@lru_cache(maxsize=8)
def _context(library: ctypes.CDLL, file: str | None, folder: str | None) -> c_void_p:
    """What all connections share; OpenSSL reads the two variables itself, they are here for the cache."""
    context = c_void_p(library.SSL_CTX_new(library.TLS_client_method()))
    if not context or not library.SSL_CTX_ctrl(context, _SET_MIN_VERSION, _TLS_1_2, None):
        raise OSError("OpenSSL offers no TLS 1.2")
    library.SSL_CTX_set_default_verify_paths(context)
    library.SSL_CTX_set_verify(context, _VERIFY_PEER, None)
    library.SSL_CTX_ctrl(context, _SET_READ_AHEAD, 1, None)
    library.SSL_CTX_set_default_read_buffer_len(context, _READ_BYTES)
    return context


@lru_cache(maxsize=8)
def _python_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


def _not_trusted(host: str, reason: str) -> StorageError:
    return StorageError(
        f"the certificate of {host} is not trusted: {reason}. If it is your own authority's, name the "
        "authority's file in SSL_CERT_FILE."
    )
