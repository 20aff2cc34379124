"""What comes over the network is on the disk, byte by byte, when its sender is told so, or not at all."""

from __future__ import annotations

import resource
import shutil
import socket
import ssl
import stat
import subprocess
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID, JPEG2000Lossless
from pynetdicom import AE, _config
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from pyraseg.pipeline.pacs.listening.objects import LARGEST
from pyraseg.pipeline.pacs.listening.receiver import receive
from pyraseg.pipeline.pacs.listening.settings import Address
from pyraseg.pipeline.pacs.peers import Tls
from tests.pipeline.pacs.listening.nodes import associated, receiving, sent, stored
from tests.pipeline.pacs.peers import data_set

SYNTAXES = (
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "MR_small_implicit.dcm",
    "examples_jpeg2k.dcm",
    "SC_rgb_rle.dcm",
)


@pytest.mark.parametrize("name", SYNTAXES)
def test_the_bytes_of_a_data_set_are_kept_as_they_came(node, name, monkeypatch):
    # or pynetdicom reads and writes what it sends; the option is the process's, whoever has sent before
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    source = Path(get_testdata_file(name, download=False))
    before = set(stored(node.folder))
    dataset = dcmread(source)
    with associated(node.port, [dataset]) as association:
        assert association.send_c_store(source).Status == 0
    (kept,) = set(stored(node.folder)) - before
    assert data_set(kept) == data_set(source)
    assert dcmread(kept).file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk's storescu is not installed")
def test_dcmtk_sends_to_it(node, new_image):
    before = set(stored(node.folder))
    command = [
        "storescu",
        "-aet",
        "SENDER",
        "-aec",
        "PYRASEG",
        "127.0.0.1",
        str(node.port),
        str(new_image(frames=3)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert len(set(stored(node.folder)) - before) == 1


def test_names_of_files_tell_nothing_and_files_are_their_owners_alone(node, new_image):
    path = new_image()
    assert sent(node.port, path) == [0]
    image = dcmread(path)
    names = [str(each.relative_to(node.folder)) for each in node.folder.rglob("*")]
    for value in (
        image.SOPInstanceUID,
        image.SeriesInstanceUID,
        image.StudyInstanceUID,
        str(image.PatientID),
    ):
        assert not any(value in name for name in names)
    for each in node.folder.rglob("*"):
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600)


def test_what_is_sent_again_is_kept_once_and_another_object_of_its_uid_is_refused(node, new_image, tmp_path):
    path = new_image()
    before = node.files()
    assert sent(node.port, path, path) == [0, 0]
    (kept,) = set(node.files()) - set(before)
    content = kept.read_bytes()
    other = dcmread(path)
    other.PixelData = other.PixelData[::-1]
    other.save_as(tmp_path / "other.dcm")
    elsewhere = dcmread(path)
    elsewhere.SeriesInstanceUID = UID("1.2.3.4")
    elsewhere.save_as(tmp_path / "elsewhere.dcm")
    assert sent(node.port, tmp_path / "other.dcm", tmp_path / "elsewhere.dcm", path) == [0x0111, 0x0111, 0]
    assert set(node.files()) - set(before) == {kept}
    assert kept.read_bytes() == content


@pytest.mark.parametrize("name", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID"])
def test_an_object_without_uids_is_refused_and_leaves_nothing(node, new_image, name):
    image, before = dcmread(new_image()), node.files()
    announced, content = image.SOPInstanceUID, image
    with associated(node.port, [image]) as association:
        sop_class = image.SOPClassUID
        delattr(content, name)
        status = _sent_as(association, content, sop_class, announced)
    assert status.Status == 0xA900
    assert announced not in str(status.ErrorComment)
    assert node.files() == before


def test_a_request_that_names_no_object_is_answered(node, new_image):
    image, before = dcmread(new_image()), node.files()
    with associated(node.port, [image]) as association:
        assert _sent_as(association, image, image.SOPClassUID, None).Status == 0x0117
        assert association.send_c_echo().Status == 0
    assert node.files() == before


@pytest.mark.parametrize("content", [b"\0", b"no data set at all, but bytes"])
def test_what_is_no_data_set_is_refused(node, new_image, content):
    image, before = dcmread(new_image()), node.files()
    with associated(node.port, [image]) as association:
        answer = _sent_as(association, content, image.SOPClassUID, image.SOPInstanceUID)
    assert answer.Status in (0xC000, 0xA900)
    assert node.files() == before


def test_an_object_that_is_too_large_is_refused_and_the_next_one_is_taken(node, new_image):
    large, before = new_image(frames=300), stored(node.folder)
    small = new_image()
    large_image = dcmread(large)
    assert large.stat().st_size > 2**20
    with associated(node.port, [large_image, dcmread(small)]) as association:
        assert association.send_c_store(large_image).Status == 0xA700
        assert association.send_c_store(dcmread(small)).Status == 0
    assert len(stored(node.folder)) == len(before) + 1


def test_a_full_disk_is_told_and_leaves_nothing(new_image, tmp_path):
    with receiving(tmp_path / "received", target=_with_little_room) as node:
        assert sent(node.port, new_image(frames=60), new_image()) == [0xA700, 0]
        assert len(node.files()) == 1
        assert node.wait("refused")[0][2] == 0xA700


def _with_little_room(address: Address, folder: Path, parent: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a file that grows beyond: EFBIG
    receive(address, folder, parent, most=LARGEST)


def test_an_association_that_breaks_off_within_an_object_leaves_nothing(node, new_image):
    image, before, sizes = dcmread(new_image(frames=200)), node.files(), []
    with associated(node.port, [image]) as association:
        wire, send = association.dul.socket, association.dul.socket.send

        def cut(data: bytes) -> None:
            sizes.append(len(data))
            if sum(sizes) > 300_000:
                wire.socket.shutdown(socket.SHUT_RDWR)
            send(data)

        wire.send = cut
        association.send_c_store(image)
    assert sum(sizes) < 400_000  # of 800,000
    node.wait("closed", where=lambda words: not words[2])
    assert node.files() == before


def test_only_who_is_named_may_send_and_only_to_us(node, new_image):
    for sender, called in (("SOMEBODY", "PYRASEG"), ("SENDER", "ANOTHER")):
        with associated(node.port, [dcmread(new_image())], sender=sender, called=called) as association:
            assert association.is_rejected
    assert len(node.wait("rejected", 2)) >= 2


def test_verification_is_answered(node):
    with associated(node.port, []) as association:
        assert association.send_c_echo().Status == 0


def test_any_storage_class_is_taken_in_a_syntax_that_can_be_read(node):
    entity = AE("SENDER")
    private, unknown, video = (
        UID("1.2.826.0.1.3680043.9.1"),
        UID("1.2.840.10008.5.1.4.1.1.999"),
        "1.2.840.10008.1.2.4.102",
    )
    wanted = [
        build_context(private, [JPEG2000Lossless, "1.2.840.10008.1.2"]),
        build_context(unknown, [video, "1.2.840.10008.1.2.1"]),
        build_context("1.2.840.10008.5.1.4.1.1.2", [video]),
        build_context("1.2.840.10008.5.1.4.1.2.2.1", ["1.2.840.10008.1.2"]),  # a query
    ]
    association = entity.associate("127.0.0.1", node.port, contexts=wanted, ae_title="PYRASEG")
    accepted = {context.abstract_syntax: context.transfer_syntax for context in association.accepted_contexts}
    association.release()
    assert accepted == {private: [JPEG2000Lossless], unknown: ["1.2.840.10008.1.2.1"]}


def test_a_drain_lets_an_association_end_and_takes_no_other(new_image, tmp_path):
    first, second = dcmread(new_image()), dcmread(new_image())
    with receiving(tmp_path / "received") as node:
        with associated(node.port, [first, second]) as association:
            assert association.send_c_store(first).Status == 0
            node.connection.send("drain")
            deadline = time.monotonic() + 30
            while _can_connect(node.port) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not _can_connect(node.port)
            assert association.send_c_store(second).Status == 0
        assert node.wait("ended")
        node.process.join(30)
        assert node.process.exitcode == 0
        assert len(node.files()) == 2


def test_it_ends_with_its_parent(tmp_path):
    with receiving(tmp_path / "received") as node:
        node.connection.close()
        node.process.join(30)
        assert not node.process.is_alive()


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes certificates, is not installed"
)
def test_over_tls_a_sender_needs_a_certificate_and_one_who_keeps_still_stops_no_other(new_image, tmp_path):
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*command, *more], check=True, capture_output=True)
    address = Address("PYRASEG", port=0, tls=Tls(ca=certificate, cert=certificate, key=key))
    context = ssl.create_default_context(cafile=certificate)
    with (
        receiving(tmp_path / "received", address) as node,
        socket.create_connection(("127.0.0.1", node.port)),
    ):
        image = dcmread(new_image())
        with associated(node.port, [image], tls_args=(context, "127.0.0.1")) as association:
            assert not association.is_established
        context.load_cert_chain(certificate, key)
        with associated(node.port, [image], tls_args=(context, "127.0.0.1")) as association:
            assert association.send_c_store(image).Status == 0
        with associated(node.port, [image]) as association:  # plain DICOM
            assert not association.is_established
        assert len(node.files()) == 1


def _sent_as(association: Any, content: Any, sop_class: str, instance: str | None) -> Any:
    """The answer to a request whose UIDs, and whose data set, are these."""
    from pynetdicom.dsutils import encode

    request = C_STORE()
    request.MessageID, request.Priority = 7, 2
    request.AffectedSOPClassUID = sop_class
    if instance is not None:
        request.AffectedSOPInstanceUID = instance
    (context,) = (each for each in association.accepted_contexts if each.abstract_syntax == sop_class)
    encoded = (
        content if isinstance(content, bytes) else encode(content, *_encoding(context.transfer_syntax[0]))
    )
    request.DataSet = BytesIO(encoded)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return answer


def _encoding(syntax: UID) -> tuple[bool, bool]:
    return syntax.is_implicit_VR, syntax.is_little_endian


def _can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
