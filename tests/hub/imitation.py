"""A loopback imitation of the Hugging Face hub, faithful enough for huggingface_hub's own client.

    publish(root, "models", "vidore/colpali-v1.3", {"config.json": b"{}"}, branches=("main", "v1"))
    with FakeHub(root) as hub:                      # or: python tests/hub/imitation.py ROOT --port 8900
        env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": "…"}

On disk: ROOT/{models,datasets}/ORG/NAME/COMMIT/FILES and, beside the commits, refs.json {branch: commit} and
settings.json {"gated": bool, "private": bool, "xet": bool}. With xet, large files have the headers by which the client
learns that they are kept in xet; the store behind it is not imitated. A second port is the CDN that large files are
redirected to, as another host would be. Requests are kept in `hub.log` (GET /_log); `hub.faults` (POST /_faults) spoils
some: a list of objects with `match` (regular expression on "METHOD host path") and any of `times`, `status`, `headers`,
`cut_after` (bytes), `delay_s`, `bytes_per_s`.
Not imitated: xet's store, rate limits but by faults, uploads, search. What is answered follows the client's own source,
huggingface_hub 2.4.0.
"""

import argparse
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS = re.compile(r"\.(safetensors|bin|parquet|tar|pt|pth|h5|msgpack|onnx|model|png|jpg|spm)$|(^|/)tokenizer\.json$")
"""What repositories' .gitattributes usually send to large-file storage."""
TOKENS = {"hf_accepted": True, "hf_stranger": False}
"""Tokens the hub knows, and whether gated and private repositories let them in."""
PAGE = 1000
"""Entries of a page of a tree's listing."""


def publish(root, kind, repo, files, commit=None, branches=("main",), **settings):
    """Puts files {path: bytes or Path} into a repository as one commit, with these branches and tags on it."""
    contents = {name: part if isinstance(part, bytes) else Path(part).read_bytes() for name, part in files.items()}
    if commit is None:
        commit = hashlib.sha1(
            repr([(n, hashlib.sha1(c).hexdigest()) for n, c in sorted(contents.items())]).encode()
        ).hexdigest()
    place = Path(root) / kind / repo
    for name, content in contents.items():
        (place / commit / name).parent.mkdir(parents=True, exist_ok=True)
        (place / commit / name).write_bytes(content)
    refs = json.loads((place / "refs.json").read_text()) if (place / "refs.json").exists() else {}
    (place / "refs.json").write_text(json.dumps({**refs, **dict.fromkeys(branches, commit)}))
    if settings:
        (place / "settings.json").write_text(json.dumps(settings))
    return commit


def folder_files(folder):
    """What `publish` takes, of a folder."""
    return {str(file.relative_to(folder)): file for file in sorted(Path(folder).rglob("*")) if file.is_file()}


class Stored:
    """A file of a commit, with its names in git and in large-file storage."""

    known: ClassVar[dict] = {}

    def __init__(self, file, path):
        content = file.read_bytes()
        self.file, self.path, self.size = file, path, len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.lfs = bool(LFS.search(path)) or self.size > 10_000_000
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        blob = pointer if self.lfs else content
        self.pointer_size = len(pointer)
        self.oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @classmethod
    def of(cls, file, path):
        key = (str(file), file.stat().st_mtime_ns)
        if key not in cls.known:
            cls.known[key] = cls(file, path)
        return cls.known[key]

    def entry(self):
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}} if self.lfs else {}
        return {"type": "file", "oid": self.oid, "size": self.size, "path": self.path, **lfs}


class RefusedError(Exception):
    def __init__(self, status, code, message, **headers):
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: "FakeHub"
    host = "hub"

    def log_message(self, *args):
        pass

    def answer(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if url.path.startswith("/_"):
            return self.control(url.path)
        auth = self.headers.get("Authorization")
        self.entry = {"at": time.time(), "host": self.host, "method": self.command, "path": self.path, "bytes": 0}
        self.entry |= {"range": self.headers.get("Range"), "auth": auth, "agent": self.headers.get("User-Agent")}
        self.hub.log.append(self.entry)
        self.fault = self.hub.fault(f"{self.command} {self.host} {self.path}")
        time.sleep(self.fault.get("delay_s", 0))
        try:
            if "status" in self.fault:
                raise RefusedError(self.fault["status"], "", "spoiled on purpose", **self.fault.get("headers", {}))
            if self.host == "cdn":
                return self.from_cdn(url)
            token = auth.removeprefix("Bearer ") if auth else None
            if token and token not in TOKENS:
                raise RefusedError(401, "", "Invalid credentials in Authorization header")
            self.token = token
            self.from_hub([unquote(part) for part in url.path.strip("/").split("/")], parse_qs(url.query))
        except RefusedError as refused:
            heads = {"X-Error-Message": refused.message, **refused.headers}
            heads |= {"X-Error-Code": refused.code} if refused.code else {}
            self.send(refused.status, json.dumps({"error": refused.message}).encode(), heads)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET = do_POST = answer  # noqa: N815 - as http.server calls them

    def control(self, path):
        if path == "/_faults":
            self.hub.faults = json.loads(self.body)
        elif path == "/_reset":
            self.hub.log.clear()
            self.hub.faults = []
        content = json.dumps(self.hub.log if path == "/_log" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send(self, status, content=b"", headers=(), kind="application/json"):
        """With Range, Content-Length, and whatever spoils it."""
        self.entry["status"] = status
        start, size = 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = dict(headers)
        if asked and status == 200:
            start, end = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
            status, content = (206, content[start : end + 1]) if start < size else (416, b"")
            headers["Content-Range"] = f"bytes {start}-{end}/{size}" if start < size else f"bytes */{size}"
            self.entry["status"] = status
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "X-Request-Id": "Root=1-fake",
            "Accept-Ranges": "bytes",
            **headers,
        }.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut, rate = self.fault.get("cut_after"), self.fault.get("bytes_per_s")
        wanted = content if cut is None else content[:cut]
        step = max(1, rate // 10) if rate else 1 << 20
        for place in range(0, len(wanted), step):
            part = wanted[place : place + step]
            self.wfile.write(part)
            self.entry["bytes"] += len(part)
            if rate:
                time.sleep(len(part) / rate)
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)

    def from_hub(self, parts, query):
        if parts[:2] == ["api", "resolve-cache"]:
            kind, repo, commit, path = parts[2], "/".join(parts[3:5]), parts[5], "/".join(parts[6:])
            found = Stored.of(self.hub.root / kind / repo / commit / path, path)
            return self.send(200, found.file.read_bytes(), self.heads(found, commit), "application/octet-stream")
        if parts[0] == "api" and parts[1:2] and parts[1] in ("models", "datasets"):
            return self.api(parts[1], "/".join(parts[2:4]), parts[4:], query)
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        if len(parts) < 5 or parts[2] not in ("resolve", "raw"):
            raise RefusedError(404, "", "Sorry, we can't find the page you are looking for.")
        self.resolve(kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def place(self, kind, repo, revision, content):
        """(folder of the commit, commit), if this caller may see it; `content`: more than its listing is asked."""
        place = self.hub.root / kind / repo
        settings = place / "settings.json"
        settings = json.loads(settings.read_text()) if settings.exists() else {}
        let_in = TOKENS.get(self.token, False)
        if not (place / "refs.json").exists() or (settings.get("private") and not let_in):
            # without a token the hub does not tell what exists; by https its client would know this without the code
            said = (404, "Repository not found") if self.token else (401, "Invalid username or password.")
            raise RefusedError(said[0], "RepoNotFound", said[1])
        if settings.get("gated") and content and not let_in:
            what = f"Access to {kind[:-1]} {repo} is restricted"
            if self.token:
                page = f"{self.hub.endpoint}/{repo}"
                asked = f"{what} and you are not in the authorized list. Visit {page} to ask for access."
                raise RefusedError(403, "GatedRepo", asked)
            login = f"{what}. You must have access to it and be authenticated to access it. Please log in."
            raise RefusedError(401, "GatedRepo", login)
        refs = json.loads((place / "refs.json").read_text())
        commit = refs.get(revision, revision)
        if not re.fullmatch("[0-9a-f]{40}", commit) or not (place / commit).is_dir():
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return place / commit, commit, settings

    def api(self, kind, repo, rest, query):
        what, revision = (rest[0], rest[1]) if len(rest) > 1 else (rest[0] if rest else "revision", "main")
        folder, commit, settings = self.place(kind, repo, revision, self.hub.gate_api)
        files = [Stored.of(file, path) for path, file in folder_files(folder).items()]
        if what == "refs":
            return self.refs(folder.parent)
        if what == "revision":
            info = {"_id": "0", "id": repo, "sha": commit, "private": False, "tags": [], "downloads": 1, "likes": 0}
            info |= {"gated": "manual" if settings.get("gated") else False, "lastModified": "2025-01-01T00:00:00.000Z"}
            info |= {"modelId": repo} if kind == "models" else {}
            siblings = [{"rfilename": file.path} for file in files]
            return self.send(200, json.dumps({**info, "siblings": siblings}).encode(), {"X-Repo-Commit": commit})
        entries = [file.entry() for file in files]
        above = {str(parent) for file in files for parent in Path(file.path).parents} - {"."}
        entries += [
            {"type": "directory", "oid": hashlib.sha1(p.encode()).hexdigest(), "size": 0, "path": p} for p in above
        ]
        if what == "paths-info":
            form = parse_qs(self.body.decode()) if b"paths=" in self.body else json.loads(self.body)
            return self.send(200, json.dumps([one for one in entries if one["path"] in form["paths"]]).encode())
        below = "/".join(rest[2:])
        deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        start = f"{below}/" if below else ""
        entries = [one for one in entries if one["path"].startswith(start)]
        entries = [one for one in entries if deep or "/" not in one["path"].removeprefix(start)]
        if below and not entries:
            raise RefusedError(404, "EntryNotFound", f'{below} does not exist on "{revision}"')
        entries.sort(key=lambda one: one["path"])
        cursor, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", [PAGE])[0])
        more = {}
        if cursor + limit < len(entries):
            rest = f"recursive={deep}&limit={limit}&cursor={cursor + limit}".lower()
            more = {"Link": f'<{self.hub.endpoint}{urlsplit(self.path).path}?{rest}>; rel="next"'}
        self.send(200, json.dumps(entries[cursor : cursor + limit]).encode(), more)

    def refs(self, place):
        named = json.loads((place / "refs.json").read_text())
        found = {"branches": [], "tags": [], "converts": []}
        for name, commit in named.items():
            kind, place = ("tags", "tags") if re.match(r"v\d", name) else ("branches", "heads")
            found[kind].append({"name": name, "ref": f"refs/{place}/{name}", "targetCommit": commit})
        self.send(200, json.dumps(found).encode())

    def heads(self, found, commit):
        linked = {"X-Linked-Size": str(found.size), "X-Linked-ETag": f'"{found.sha256 if found.lfs else found.oid}"'}
        return {"X-Repo-Commit": commit, "ETag": f'"{found.sha256 if found.lfs else found.oid}"', **linked}

    def resolve(self, kind, repo, revision, path):
        folder, commit, settings = self.place(kind, repo, revision, path != "README.md")
        if not (folder / path).is_file():
            raise RefusedError(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        found = Stored.of(folder / path, path)
        heads = self.heads(found, commit)
        if found.lfs:
            self.hub.stored[found.sha256] = found
            signed = f"{self.hub.cdn}/xet-bridge/{found.sha256}?filename={quote(path, safe='')}&Signature=s&Expires=9"
            if settings.get("xet"):
                token = f"{self.hub.endpoint}/api/{kind}/{repo}/xet-read-token/{commit}"
                heads |= {"X-Xet-Hash": found.sha256, "Link": f'<{token}>; rel="xet-auth"'}
            return self.send(302, b"", {**heads, "Location": signed})
        # for small files the hub redirects to itself
        self.send(307, b"", {**heads, "Location": f"/api/resolve-cache/{kind}/{repo}/{commit}/{quote(path)}"})

    def from_cdn(self, url):
        found = self.hub.stored.get(url.path.rsplit("/", 1)[-1])
        if found is None:
            raise RefusedError(403, "", "AccessDenied")
        self.send(200, found.file.read_bytes(), {"ETag": f'"{found.sha256}"'}, "binary/octet-stream")


class FakeHub:
    def __init__(self, root, port=0, gate_api=False):
        self.root, self.log, self.faults, self.stored, self.gate_api = Path(root), [], [], {}, gate_api
        self.lock = threading.Lock()
        handlers = [type("Served", (Handler,), {"hub": self, "host": host}) for host in ("hub", "cdn")]
        self.servers = [
            ThreadingHTTPServer(("127.0.0.1", port + number if port else 0), handler)
            for number, handler in enumerate(handlers)
        ]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def fault(self, request):
        with self.lock:
            for one in self.faults:
                if re.search(one["match"], request) and one.get("times", 1) > 0:
                    one["times"] = one.get("times", 1) - 1
                    return one
        return {}

    def __enter__(self):
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def stop(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    __exit__ = stop


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gate-api", action="store_true", help="Gated repositories refuse their listing, too.")
    given = parser.parse_args()
    with FakeHub(given.root, given.port, given.gate_api) as served:
        print(f"HF_ENDPOINT={served.endpoint}  (CDN {served.cdn})", flush=True)
        threading.Event().wait()
