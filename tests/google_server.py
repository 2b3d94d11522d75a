"""Google's storage on 127.0.0.1, ``python google_server.py PORT``: what gcsfs asks of it.

The emulator, made stricter in two ways, as Google is. An upload that may only make a new object
is refused where there is one. And what is stored is what was sent, to the byte, or nothing where
it was cut short; the emulator takes an upload for a text of lines.
"""

import json
import sys
from http import HTTPStatus

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

upload, read = objects.insert, server._read_data


def insert(request, response, storage, *args, **kwargs):
    only_new = request.query.get("ifGenerationMatch") == ["0"]
    if only_new and is_there(storage, request.params["bucket_name"], request.data["meta"]["name"]):
        response.status = HTTPStatus.PRECONDITION_FAILED
        response.json({"error": {"code": 412, "message": "conditionNotMet"}})
        return
    upload(request, response, storage, *args, **kwargs)


def is_there(storage, bucket, name):
    try:
        storage.get_file_obj(bucket, name)
    except NotFound:
        return False
    return True


def read_data(handler, query):
    if handler.headers.get_content_type() != "multipart/related":
        return read(handler, query)
    sent = server._read_raw_data(handler)
    end = b"\n--" + handler.headers.get_boundary().encode()
    first, last = sent.index(end), sent.rindex(end)
    if first == last:
        raise ConnectionError("who sent this died meanwhile")
    head, content = sent[first:last].split(b"\n\n", 1)
    kind = head.partition(b"Content-Type:")[2].decode().strip()
    meta = json.loads(sent[:first].split(b"\n\n", 1)[1])
    return {"meta": meta, "content": content, "content-type": kind}


server._read_data = read_data
server.HANDLERS = tuple(
    (path, {verb: insert if to is upload else to for verb, to in verbs.items()})
    for path, verbs in server.HANDLERS
)

if __name__ == "__main__":
    where = "127.0.0.1", int(sys.argv[1])
    server.create_server(*where, in_memory=True, default_bucket="results").run()
