"""A stand-in for the Hugging Face Hub: as much of its API as fetching and pushing a model takes, in memory."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: the token that may write, and see private repositories
TOKEN = "hf_standin"


class Repository:
    """A model's repository: its files by commit, the newest last."""

    def __init__(self, files: dict[str, bytes] | None = None, *, private: bool = False) -> None:
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.commit(files or {})

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit that holds just these files; its name."""
        names = repr((len(self.commits), sorted((name, sha1(data).hexdigest()) for name, data in files.items())))
        self.commits[found := sha1(names.encode()).hexdigest()] = dict(files)
        return found

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def at(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


class Hub:
    """What the server holds, and the paths that it was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: Any = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, name: str) -> Repository | None:
        """The one asked for; of a private one the hub tells strangers as of one that isn't there."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._known):
            self._refuse(401 if not self._known else 404, "RepoNotFound")
            return None
        return found

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path):
            repository = self._repository(match[1])
            if repository is None:
                return
            commit = repository.at(match[3])
            if commit is None:
                return self._refuse(404, "RevisionNotFound")
            files = repository.commits[commit]
            if match[2] == "revision":
                siblings = [{"rfilename": name} for name in files]
                return self._answer(200, {"id": match[1], "sha": commit, "private": False, "siblings": siblings})
            return self._answer(
                200,
                [
                    {"type": "file", "path": name, "size": len(data), "oid": sha1(data).hexdigest()}
                    for name, data in files.items()
                ],
            )
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository = self._repository(match[1])
            if repository is None:
                return
            commit = repository.at(match[2])
            if commit is None:
                return self._refuse(404, "RevisionNotFound")
            data = repository.commits[commit].get(match[3])
            if data is None:
                return self._refuse(404, "EntryNotFound")
            return self._answer(200, data, ETag=f'"{sha1(data).hexdigest()}"', X_Repo_Commit=commit)
        return self._refuse(404, "NotThere")

    def do_PUT(self) -> None:
        data = self._read()
        self.hub.large[self.path.rsplit("/", 1)[1]] = data
        self._answer(200)

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"POST {path}")
        data = self._read()
        if not self._known:
            return self._refuse(401, "Unauthorized")
        if path == "/api/repos/create":
            told = json.loads(data)
            name = f"{told.get('organization') or 'someone'}/{told['name']}"
            if name in self.hub.repositories:
                return self._answer(409, {"error": "is there", "url": f"{self.hub.address}/{name}"})
            self.hub.repositories[name] = Repository(
                private=bool(told.get("private")) or told.get("visibility") == "private"
            )
            return self._answer(200, {"url": f"{self.hub.address}/{name}"})
        if path.startswith("/api/validate-yaml"):
            return self._answer(200, {"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if fnmatch(one["path"], "*.safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(data)["files"]
            ]
            return self._answer(200, {"files": files})
        if path.endswith("/info/lfs/objects/batch"):
            wanted = [
                {**one, "actions": {"upload": {"href": f"{self.hub.address}/large/{one['oid']}"}}}
                for one in json.loads(data)["objects"]
            ]
            return self._answer(200, {"transfer": "basic", "objects": wanted})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            repository = self.hub.repositories[match[1]]
            files = dict(repository.commits[repository.head])
            for line in data.decode().splitlines():
                told = json.loads(line)
                value = told["value"]
                if told["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif told["key"] == "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                    assert sha256(files[value["path"]]).hexdigest() == value["oid"]
                elif told["key"] == "deletedFile":
                    del files[value["path"]]
            commit = repository.commit(files)
            url = f"{self.hub.address}/{match[1]}/commit/{commit}"
            return self._answer(200, {"commitUrl": url, "commitOid": commit, "success": True})
        return self._refuse(404, "NotThere")

    def _read(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
