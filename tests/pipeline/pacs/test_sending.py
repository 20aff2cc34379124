"""C-STORE and STOW-RS to real archives, and to peers that refuse, break off or keep still."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from pyraseg.pipeline.pacs.delivery import deliver
from pyraseg.pipeline.pacs.dimse.commitment import Commitments, receiving_reports
from pyraseg.pipeline.pacs.outcome import Outcome
from pyraseg.pipeline.pacs.peers import Peer, parse_peer
from pyraseg.transforms.errors import PeerAwayError, PeerError
from tests.orthanc import free_port
from tests.pipeline.pacs.peers import answering, data_set, silent

JSON = {"Content-Type": "application/dicom+json"}


def states(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def send(files: list[Path], peer: Peer) -> list[Outcome]:
    return list(deliver(files, peer))


@pytest.fixture
def scp():
    """A peer of pynetdicom's: its address for a status, or a function of the event, that it answers with."""
    entity = AE("PEER")
    entity.supported_contexts = AllStoragePresentationContexts
    servers = []

    def start(status, **more) -> str:
        def answer(event):
            return status(event) if callable(status) else status

        address = ("127.0.0.1", free_port())
        servers.append(
            entity.start_server(address, block=False, evt_handlers=[(evt.EVT_C_STORE, answer)], **more)
        )
        return f"PEER@127.0.0.1:{address[1]}"

    yield start
    for server in servers:
        server.shutdown()


def test_every_kind_of_study_arrives_bit_for_bit(archive_peer, orthanc, studies):
    files = [path for paths in studies.values() for path in paths]
    assert states(send(files, archive_peer)) == ["stored"] * len(files)
    for path in files:
        uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
        assert data_set(orthanc.file(uid)) == data_set(path)


def test_sending_twice_is_harmless(archive_peer, orthanc, studies):
    send(studies["cine"], archive_peer)
    before = orthanc.ask("/statistics")["CountInstances"]
    assert states(send(studies["cine"], archive_peer)) == ["stored"]
    assert orthanc.ask("/statistics")["CountInstances"] == before


def test_dcmtk_receives_the_bytes_that_lie_in_the_file(storescp, studies):
    address, folder = storescp
    assert states(send(studies["CT"], parse_peer(address))) == ["stored"] * 5
    received = sorted(data_set(path) for path in folder.iterdir())
    assert received == sorted(data_set(path) for path in studies["CT"])


def test_a_file_that_is_no_dicom_costs_itself_alone(archive_peer, studies, tmp_path):
    (tmp_path / "notes.dcm").write_bytes(b"not DICOM")
    files = [tmp_path / "notes.dcm", *studies["frame"], tmp_path / "missing.dcm"]
    outcomes = {outcome.path: outcome for outcome in send(files, archive_peer)}
    assert [outcomes[path].state for path in files] == ["refused", "stored", "refused"]
    assert all(outcomes[path].reason for path in (files[0], files[2]))


@pytest.mark.parametrize(
    ("status", "state"),
    [(0x0000, "stored"), (0xB000, "stored"), (0x0111, "stored"), (0xA700, "again"), (0xA900, "refused"),
     (0xC123, "refused"), (0x0122, "refused")],
)  # fmt: skip
def test_the_status_says_what_becomes_of_a_file(scp, studies, status, state):
    assert states(send(studies["frame"], parse_peer(scp(status)))) == [state]


def test_a_transfer_syntax_that_the_peer_does_not_take_is_named(scp, studies):
    """It supports the uncompressed ones alone."""
    (*_, outcome) = send([*studies["frame"], studies["CT"][0]], parse_peer(scp(0)))
    assert outcome.state == "refused"
    assert "JPEG 2000" in outcome.reason


def test_a_peer_that_breaks_off_in_the_middle_keeps_what_it_answered(scp, studies):
    def answer(event, seen=[]):  # noqa: B006  # it counts
        seen.append(event)
        if len(seen) == 3:
            event.assoc.abort()
        return 0

    sent = deliver(studies["PT"], parse_peer(scp(answer)))
    assert [next(sent).state, next(sent).state] == ["stored", "stored"]
    with pytest.raises(PeerAwayError):
        next(sent)


@pytest.mark.parametrize("form", ["PEER@127.0.0.1:{}", "http://127.0.0.1:{}/dicom-web"])
def test_a_peer_that_keeps_still_or_is_not_there_is_away(studies, form):
    with silent() as port, pytest.raises(PeerAwayError):
        send(studies["frame"], parse_peer(form.format(port), timeout=0.4))
    with pytest.raises(PeerAwayError, match="connection"):
        send(studies["frame"], parse_peer(form.format(free_port())))


def test_a_title_that_the_peer_does_not_know_is_for_a_person_to_mend(studies):
    entity = AE("PEER")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.require_calling_aet = ["OTHER"]
    port = free_port()
    server = entity.start_server(("127.0.0.1", port), block=False)
    try:
        with pytest.raises(PeerError, match="does not know our AE title") as caught:
            send(studies["frame"], parse_peer(f"PEER@127.0.0.1:{port}"))
    finally:
        server.shutdown()
    assert not isinstance(caught.value, PeerAwayError)


def test_orthanc_commits_to_what_it_stores(orthanc, studies, move_port):
    peer = parse_peer(orthanc.address)
    with receiving_reports(peer, port=move_port, patience=20) as commitments:
        assert states(deliver(studies["frame"], peer, commitments=commitments)) == ["stored"]


def test_what_is_not_committed_in_time_is_sent_again(orthanc, studies):
    peer = parse_peer(orthanc.address)
    (outcome,) = deliver(studies["frame"], peer, commitments=Commitments(patience=0.1))
    assert (outcome.state, outcome.reason) == ("again", "no report of its commitment came")


def test_a_success_is_enough_where_commitment_is_not_offered(scp, studies):
    peer = parse_peer(scp(0))
    assert states(deliver(studies["frame"], peer, commitments=Commitments())) == ["stored"]


def stow(failed: dict[str, int], stored: Iterable[str]) -> bytes:
    def item(uid, **more):
        return {"00081155": {"vr": "UI", "Value": [uid]}, **more}

    reasons = [item(u, **{"00081197": {"vr": "US", "Value": [r]}}) for u, r in failed.items()]
    referenced = [item(uid) for uid in stored]
    answer = {"00081198": {"vr": "SQ", "Value": reasons}, "00081199": {"vr": "SQ", "Value": referenced}}
    return json.dumps(answer).encode()


def test_each_file_has_its_own_answer_of_a_stow(studies):
    uids = [dcmread(path).SOPInstanceUID for path in studies["PT"]]
    failed = {uids[0]: 0xA700, uids[1]: 0xC000, uids[2]: 0x0111}
    with answering(lambda *_: (202, JSON, stow(failed, uids[3:4]))) as url:
        outcomes = send(studies["PT"], parse_peer(url))
    assert states(outcomes) == ["again", "refused", "stored", "stored", "again"]


def test_a_request_too_large_is_sent_in_halves(studies):
    def answer(method, path, headers, body):
        return (413 if body.count(b"\x00DICM") > 1 else 200), {}, b""

    with answering(answer) as url:
        assert states(send(studies["PT"], parse_peer(url))) == ["stored"] * 5


@pytest.mark.parametrize("status", [400, 413, 500])
def test_one_file_that_a_stow_is_refused_for_does_not_keep_the_others_back(studies, status):
    bad = data_set(studies["PT"][2])
    with answering(lambda m, p, h, body: (status if bad in body else 200, {}, b"")) as url:
        outcomes = send(studies["PT"], parse_peer(url))
    assert states(outcomes) == [
        "stored", "stored", "again" if status == 500 else "refused", "stored", "stored",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_status_for_a_person_ends_the_sending(studies, status):
    with (
        answering(lambda *_: (status, {}, b"")) as url,
        pytest.raises(PeerError, match=str(status)) as caught,
    ):
        send(studies["frame"], parse_peer(url))
    assert not isinstance(caught.value, PeerAwayError)


@pytest.mark.parametrize("status", [429, 503])
def test_the_archive_says_when_to_come_back(studies, status):
    with (
        answering(lambda *_: (status, {"Retry-After": "17"}, b"")) as url,
        pytest.raises(PeerAwayError) as error,
    ):
        send(studies["frame"], parse_peer(url))
    assert error.value.wait == 17


@pytest.mark.parametrize("login", [{"USER": "doctor", "PASSWORD": "secret"}, {"TOKEN": "secret"}, "netrc"])
def test_a_login_stays_at_its_archive(studies, monkeypatch, tmp_path, login):
    seen: list[dict[str, str]] = []

    def elsewhere(method, path, headers, body):
        seen.append(headers)
        return 200, {}, b""

    if login == "netrc":
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login doctor password secret\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    else:
        for name, value in login.items():
            monkeypatch.setenv(f"PYRASEG_DICOMWEB_{name}", value)
    with answering(elsewhere) as other:

        def redirect(method, path, headers, body):
            return (
                (307, {"Location": f"{other}{path}"}, b"") if headers.get("Authorization") else (401, {}, b"")
            )

        with answering(redirect) as url, pytest.raises(PeerError, match="redirect") as caught:
            send(studies["frame"], parse_peer(url))
    assert seen == []
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("way", ["DIMSE", "DICOMweb"])
def test_a_certificate_that_nobody_vouches_for_is_refused(scp, studies, tmp_path, way):
    certificate, key = self_signed(tmp_path)
    other, _ = self_signed(tmp_path / "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with answering(lambda *_: (200, {}, b""), context) as url:
        address = scp(0, ssl_context=context) if way == "DIMSE" else url
        with pytest.raises(PeerError, match="certificate"):
            send(studies["frame"], parse_peer(address, tls_ca=str(other)))
        assert states(send(studies["frame"], parse_peer(address, tls_ca=str(certificate)))) == ["stored"]


@pytest.mark.parametrize("way", ["DIMSE", "DICOMweb"])
def test_a_peer_that_asks_for_our_certificate_gets_it(scp, studies, tmp_path, way):
    certificate, key = self_signed(tmp_path)
    ours, our_key = self_signed(tmp_path / "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ours)
    context.verify_mode = ssl.CERT_REQUIRED
    options = {"tls_ca": str(certificate), "tls_cert": str(ours), "tls_key": str(our_key)}
    with answering(lambda *_: (200, {}, b""), context) as url:
        address = scp(0, ssl_context=context) if way == "DIMSE" else url
        with pytest.raises(PeerError):
            send(studies["frame"], parse_peer(address, tls_ca=str(certificate)))
        assert states(send(studies["frame"], parse_peer(address, **options))) == ["stored"]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(hosts, False).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths
