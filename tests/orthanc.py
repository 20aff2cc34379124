"""A real Orthanc on 127.0.0.1, with its DICOMweb plug-in, for whoever needs an archive."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Orthanc", "free_port"]

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Orthanc:
    """An archive that can be stopped and started again on its ports.

    Args:
        modalities: AE titles that it knows, with their ports on this machine.
        settings: of its configuration, in place of those here.
    """

    title = "ORTHANC"

    def __init__(self, folder: Path, modalities: dict[str, int] | None = None, **settings: Any) -> None:
        if not self.installed():
            pytest.skip("needs Debian's packages orthanc and orthanc-dicomweb")
        self.folder = folder
        self.http, self.dicom = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        known = {
            name: {"AET": name, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
            for name, port in (modalities or {}).items()
        }
        content = {
            "Name": self.title, "DicomAet": self.title, "StorageDirectory": str(folder),
            "IndexDirectory": str(folder), "Plugins": [str(PLUGIN)], "HttpPort": self.http,
            "DicomPort": self.dicom, "DicomServerEnabled": True, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "HttpCompressionEnabled": False, "DicomModalities": known,
            "DicomAlwaysAllowGet": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True,
            "StableAge": 1, "DicomThreadsCount": 2, "SyncStorageArea": False, **settings,
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(content))

    @staticmethod
    def installed() -> bool:
        return shutil.which("Orthanc") is not None and PLUGIN.exists()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    @property
    def address(self) -> str:
        return f"{self.title}@127.0.0.1:{self.dicom}"

    def start(self) -> Orthanc:
        with (self.folder / "log").open("ab") as log:
            command = ["Orthanc", str(self.folder / "orthanc.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", self.http)) == 0:
                    return self
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait()
            self._process = None

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        """The answer of its own REST API: parsed JSON, or bytes of a file."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", body, method=method)
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        return content if path.endswith("/file") else json.loads(content or b"null")

    def instances(self) -> dict[str, str]:
        """Its own ID of each instance by SOP Instance UID."""
        return {one["MainDicomTags"]["SOPInstanceUID"]: one["ID"] for one in self.ask("/instances?expand")}

    def file(self, instance: str) -> bytes:
        """What it holds of an instance, by SOP Instance UID."""
        return self.ask(f"/instances/{self.instances()[instance]}/file")

    def empty(self, studies: Sequence[str] = ()) -> None:
        for study in studies or self.ask("/studies"):
            self.ask(f"/studies/{study}", "DELETE")
