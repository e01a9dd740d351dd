"""A server that answers like the Hugging Face Hub, as far as pushing and fetching files goes: repositories with commits, plain
files in the commit itself, large ones by LFS, tokens, conditions, errors with their codes."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_writes"
_ENDINGS = (".safetensors", ".bin")  # of what goes by LFS


class Hub(ThreadingHTTPServer):
    """What it holds:

    repos: name → {"branches": {branch: commit}, "commits": {commit: {path: bytes}}, "private": bool, "gated": bool}
    lfs: sha256 → bytes
    asked: (method, path) of every request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos, self.lfs, self.asked, self.proposed = {}, {}, [], []
        self.broken = None  # a status that every answer has from now on
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def repo(self, name, files=None, **how):
        """Make a repository, or commit files to it as nobody's client would."""
        repo = self.repos.setdefault(
            name, {"branches": {}, "commits": {}, "private": False, "gated": False, "messages": {}}
        )
        repo.update(how)
        return self.commit(name, "main", files or {}) if files or not repo["branches"] else repo["branches"]["main"]

    def commit(self, name, branch, changes, message=""):
        repo = self.repos[name]
        files = dict(repo["commits"].get(repo["branches"].get(branch), {}))
        for path, data in changes.items():
            if data is None:
                del files[path]
            else:
                files[path] = data
        sha = hashlib.sha1(repr((name, branch, len(repo["commits"]), sorted(files))).encode()).hexdigest()
        repo["commits"][sha], repo["branches"][branch], repo["messages"][sha] = files, sha, message
        return sha

    def files(self, name, branch="main"):
        repo = self.repos[name]
        return repo["commits"][repo["branches"][branch]]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, content=b"", headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in [("Content-Length", str(len(data))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, status, code, message):
        self._answer(status, {"error": message}, [("X-Error-Code", code), ("X-Error-Message", message)])

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        path, hub = unquote(split.path), self.server
        hub.asked.append((self.command, path))
        if hub.broken:
            self._error(hub.broken, "Broken", "our disks are full")
            return
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                answer(self, found.groupdict(), body, parse_qs(split.query))
                return
        self._error(404, "RouteNotFound", f"nobody answers {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

    # ── who may ──

    def _may_write(self):
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._error(401, "Unauthorized", "Invalid username or password.")
            return False
        return True

    def _repo(self, name):
        repo = self.server.repos.get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo is None or (repo["private"] and not known):
            self._error(404 if known else 401, "RepoNotFound", "Repository not found")
            return None
        if repo["gated"] and not known:
            self._error(403, "GatedRepo", "Access to this model is restricted")
            return None
        return repo

    def _commit_of(self, name, revision):
        repo = self._repo(name)
        if repo is None:
            return None, None
        sha = repo["branches"].get(revision, revision)
        if sha not in repo["commits"]:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None, None
        return sha, repo["commits"][sha]

    # ── reading ──

    def info(self, named, _, __):
        sha, files = self._commit_of(named["repo"], named.get("revision") or "main")
        if files is not None:
            listed = [{"rfilename": path} for path in files]
            self._answer(200, {"id": named["repo"], "modelId": named["repo"], "sha": sha, "siblings": listed})

    def tree(self, named, _, __):
        _, files = self._commit_of(named["repo"], named["revision"])
        if files is not None:
            told = [
                {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}
                for path, data in files.items()
            ]
            self._answer(200, told)

    def resolve(self, named, _, __):
        sha, files = self._commit_of(named["repo"], named["revision"])
        if files is None:
            return
        if named["path"] not in files:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        data = files[named["path"]]
        headers = [("X-Repo-Commit", sha), ("Accept-Ranges", "bytes")]
        if named["path"].endswith(_ENDINGS):
            oid = hashlib.sha256(data).hexdigest()
            self.server.lfs[oid] = data
            headers += [("X-Linked-Size", str(len(data))), ("X-Linked-Etag", f'"{oid}"'), ("ETag", f'"{oid}"')]
            self._answer(302, b"", [*headers, ("Location", f"http://localhost:{self.server.server_port}/store/{oid}")])
            return
        self._answer(200, data, [*headers, ("ETag", f'"{hashlib.sha1(data).hexdigest()}"')])

    def stored(self, named, _, __):
        data = self.server.lfs[named["oid"]]
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part:
            begin, end = int(part[1]), int(part[2] or len(data) - 1)
            told = [("Content-Range", f"bytes {begin}-{end}/{len(data)}")]
            self._answer(206, data[begin : end + 1], told)
        else:
            self._answer(200, data)

    # ── writing ──

    def create(self, _, body, __):
        if self._may_write():
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            private = told.get("private") or told.get("visibility") == "private"
            if name in self.server.repos:
                self._answer(409, {"error": "You already created this model repo", "url": f"{self.server.url}/{name}"})
                return
            self.server.repo(name, private=bool(private))
            self._answer(200, {"url": f"{self.server.url}/{name}", "name": name})

    def card(self, _, body, __):
        text = json.loads(body)["content"]
        head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        try:
            told = yaml.safe_load(head[1])
            wrong = [] if isinstance(told, dict) and told.get("license") != "none-such" else ["no such license"]
        except (yaml.YAMLError, TypeError) as error:
            wrong = [str(error)]
        self._answer(400 if wrong else 200, {"errors": [{"message": each} for each in wrong], "warnings": []})

    def preupload(self, named, body, __):
        if self._may_write():
            asked = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(_ENDINGS) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in asked
            ]
            self._answer(200, {"files": modes})

    def batch(self, _, body, __):
        if self._may_write():
            objects = json.loads(body)["objects"]
            told = [
                {
                    "oid": each["oid"],
                    "size": each["size"],
                    "actions": {
                        "upload": {"href": f"{self.server.url}/store/{each['oid']}"},
                        "verify": {"href": f"{self.server.url}/verify"},
                    },
                }
                for each in objects
            ]
            self._answer(200, {"transfer": "basic", "objects": told})

    def put(self, named, body, _):
        assert hashlib.sha256(body).hexdigest() == named["oid"]
        self.server.lfs[named["oid"]] = body
        self._answer(200)

    def verify(self, _, body, __):
        told = json.loads(body)
        there = len(self.server.lfs.get(told["oid"], b"")) == told["size"]
        self._answer(200 if there else 404, {})

    def commit(self, named, body, query):
        if not self._may_write() or self._commit_of(named["repo"], named["revision"])[1] is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        changes, message = {}, ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.server.lfs[value["oid"]]
            else:
                changes[value["path"]] = None
        told, branch = {}, named["revision"]
        if "create_pr" in query:
            branch, told = "refs/pr/1", {"pullRequestUrl": f"{self.server.url}/{named['repo']}/discussions/1"}
            repo = self.server.repos[named["repo"]]
            repo["branches"][branch] = repo["branches"]["main"]
        sha = self.server.commit(named["repo"], branch, changes, message)
        self._answer(
            200,
            {"commitUrl": f"{self.server.url}/{named['repo']}/commit/{sha}", "commitOid": sha, "success": True} | told,
        )


_NAME = r"(?P<repo>[^/]+/[^/]+)"
_ROUTES = [
    ("POST", "/api/repos/create", _Answers.create),
    ("POST", "/api/validate-yaml", _Answers.card),
    ("GET", rf"/api/models/{_NAME}(/revision/(?P<revision>.+))?", _Answers.info),
    ("GET", rf"/api/models/{_NAME}/tree/(?P<revision>.+)", _Answers.tree),
    ("POST", rf"/api/models/{_NAME}/preupload/(?P<revision>.+)", _Answers.preupload),
    ("POST", rf"/api/models/{_NAME}/commit/(?P<revision>.+)", _Answers.commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Answers.batch),
    ("PUT", "/store/(?P<oid>[0-9a-f]{64})", _Answers.put),
    (("GET", "HEAD"), "/store/(?P<oid>[0-9a-f]{64})", _Answers.stored),
    ("POST", "/verify", _Answers.verify),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/(?P<revision>refs/pr/\d+|[^/]+)/(?P<path>.+)", _Answers.resolve),
]
