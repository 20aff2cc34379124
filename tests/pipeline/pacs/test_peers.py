"""How a peer is named, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from pyraseg.pipeline.pacs.peers import DicomPeer, Tls, WebPeer, parse_peer, stored_peer, written_peer
from pyraseg.transforms.errors import UsageError


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ORTHANC@127.0.0.1:4242", DicomPeer("ORTHANC", "127.0.0.1", 4242)),
        (" PACS ONE @pacs.example:104", DicomPeer("PACS ONE", "pacs.example", 104)),
        ("A@[::1]:104", DicomPeer("A", "::1", 104)),
    ],
)
def test_a_peer_is_named_by_title_host_and_port(text, peer):
    assert parse_peer(text) == peer


@pytest.mark.parametrize("end", ["", "/", "/studies", "/studies/"])
def test_a_peer_is_named_by_the_address_of_its_dicomweb(end):
    assert parse_peer(f"https://pacs.example/dicom-web{end}") == WebPeer(
        "https://pacs.example/dicom-web", Tls()
    )


@pytest.mark.parametrize(
    "text",
    [
        "ORTHANC",
        "@host:104",
        "SEVENTEEN LETTERS@host:104",
        "A\nB@host:104",
        "A\\B@host:104",
        "Ä@host:104",
        "A@host:0",
        "A@host:65536",
        "A@host:port",
        "A@a/b:104",
        "https://",
        "https://host:port/dicom-web",
        "https://pacs.example/dicom-web?user=me",
        "https://pacs.example/\nHost: other",
        "ftp://pacs.example/dicom-web",
    ],
)
def test_what_names_no_peer_is_refused_with_a_remedy(text):
    with pytest.raises(UsageError) as caught:
        parse_peer(text)
    assert text == "https://" or text not in str(caught.value)
    assert caught.value.remedy


def test_an_address_with_a_login_is_refused_without_showing_it():
    with pytest.raises(UsageError, match="PYRASEG_DICOMWEB_USER") as caught:
        parse_peer("https://doctor:secret@pacs.example/dicom-web")
    assert "secret" not in str(caught.value)


def test_plain_http_stays_on_this_machine_unless_it_is_allowed():
    assert parse_peer("http://127.0.0.1:8042/dicom-web")
    assert parse_peer("http://localhost:8042/dicom-web")
    with pytest.raises(UsageError, match="--insecure-http"):
        parse_peer("http://pacs.example/dicom-web")
    assert parse_peer("http://pacs.example/dicom-web", insecure_http=True)


def test_our_own_title_obeys_the_same_rules():
    with pytest.raises(UsageError, match="AE title"):
        parse_peer("A@host:104", aet="A\x1b[31m")


def test_dicom_is_spoken_over_tls_where_one_of_its_files_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("")
    peer = parse_peer("A@host:2762", tls_ca=str(tmp_path / "ca.pem"))
    assert isinstance(peer, DicomPeer)
    assert peer.tls == Tls(ca=str(tmp_path / "ca.pem"))
    with pytest.raises(UsageError, match="PEM"):
        parse_peer("A@host:2762", tls_ca=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize("text", ["A@host:104", "https://pacs.example/dicom-web"])
def test_a_stored_peer_is_the_same(text):
    peer = parse_peer(text, timeout=7)
    assert stored_peer(written_peer(peer)) == peer
