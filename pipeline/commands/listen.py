"""``pyraseg listen``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyraseg.pipeline.commands.predict import FORMATS, Predict
from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.utils.reading_options import positive

__all__ = ["Listen"]


class Listen(Verb):
    """Receive images from a PACS, predict what has come whole, and send the results back."""

    name = "listen"
    help = "a DICOM node: images come over the network, SEG and SR go back"
    ends_at_once = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        bundle = "a bundle's folder; its configs are code. Again for others: each takes what it is for"
        add("--bundle", required=True, action="append", metavar="DIR", help=bundle)
        weights = "weights of a single bundle, as for predict (default: each bundle's models/model.pt)"
        add("--checkpoint", nargs="+", default=[], metavar="WEIGHTS", help=weights)
        store = "the MLflow store of models among them (default: that of the bundle's runs)"
        add("--tracking_uri", "--tracking-uri", metavar="URI", help=store)
        add("--output", required=True, metavar="DIR", help="what came, results by bundle, what waits")

        add = parser.add_argument_group("receive").add_argument
        add("--ae-title", default="PYRASEG", metavar="AET", help="our AE title (default: PYRASEG)")
        add("--port", type=int, default=11112, metavar="N", help="default: 11112")
        host = "address to listen at (default: 127.0.0.1, this machine alone)"
        add("--host", default="127.0.0.1", metavar="ADDRESS", help=host)
        allow = "AE titles that may send (default: any, on this machine alone)"
        add("--allow", nargs="+", default=[], metavar="AET", help=allow)
        add("--tls-cert", default="", metavar="PEM", help="our certificate: DICOM over TLS, both ways")
        add("--tls-key", default="", metavar="PEM", help="its key")
        add("--tls-ca", default="", metavar="PEM", help="whose certificates a sender or peer must have")
        quiet = "seconds without a new image that complete a series (default: 10)"
        add("--quiet-seconds", type=_seconds, default=10.0, metavar="S", help=quiet)
        archive = "an archive (AET@HOST:PORT, https://...) whose count of a series must be reached as well"
        add("--archive", metavar="PEER", help=archive)
        others = "remove images that no bundle takes (default: kept in received/)"
        add("--drop-others", action="store_true", help=others)

        add = parser.add_argument_group("return").add_argument
        peer = "AET@HOST:PORT, or https://HOST/dicom-web; again for others (default: nothing is sent)"
        add("--return-to", action="append", default=[], metavar="PEER", help=peer)
        commit = "ask for Storage Commitment; PORT takes the reports (default: any)"
        add("--commit", nargs="?", const=0, type=positive, metavar="PORT", help=commit)
        insecure = "allow http:// beyond this machine: images and logins can be read on the way"
        add("--insecure-http", action="store_true", help=insecure)

        add = parser.add_argument_group("results").add_argument
        add("--formats", default=FORMATS, metavar="LIST", help=f"of {FORMATS},rtstruct (default: {FORMATS})")
        seg_types = ("binary", "labelmap", "fractional")
        add("--seg-type", choices=seg_types, default="binary", help="of the DICOM SEG")
        replace = "results of a series that has changed take the UIDs of the earlier ones"
        add("--replace", action="store_true", help=f"{replace}, for an archive that overwrites")

        add = parser.add_argument_group("machine").add_argument
        add("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:1")
        backends = ("auto", "torch", "openvino", "onnxruntime")
        add("--backend", choices=backends, default="auto", help="auto: the fastest")
        add("--workers", type=positive, metavar="N", help="processes that read and write, for each bundle")
        timeout = "seconds without progress (default 600)"
        add("--item-timeout", type=positive, default=600, metavar="S", help=timeout)
        metrics = "/metrics (Prometheus) and /healthz on 127.0.0.1 (default: none)"
        add("--metrics-port", type=int, metavar="N", help=metrics)

    def run(self, arguments: argparse.Namespace) -> Iterator[str]:
        from pyraseg.pipeline.pacs.delivery import require_extra
        from pyraseg.pipeline.prediction.processes.template import start_template

        require_extra()
        start_template()
        from pyraseg.pipeline.pacs.listening.listener import listen
        from pyraseg.pipeline.pacs.listening.options import parse_listening

        parser = argparse.ArgumentParser()
        Predict().add_arguments(parser)
        unasked = vars(parser.parse_args(["-", "--bundle", "-", "--output", "-"]))
        unasked |= {"inputs": (), "resume": True, "overrides": []}  # images come; the next start goes on
        return listen(parse_listening(argparse.Namespace(**{**unasked, **vars(arguments)})))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"wanted seconds from 0 to 86400, found {text!r}")
    return seconds
