#!/usr/bin/env python3
"""Fetches one file from Internxt (or its emulator) and decrypts it, without any code of inxtfs.

    independent_decrypt.py GATEWAY EMAIL REMOTE_PATH [--out FILE] < password

Logs in, walks the folders by name, downloads, decrypts, compares size and content hash, and prints the SHA-256 of the
plaintext. Python's standard library and `cryptography` only: what this reads, other clients read.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import unicodedata
import urllib.error
import urllib.parse
import urllib.request

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

APP_SECRET = "6KYQBP847D4ATSFA"  # public: every client of the service carries it
PAGE = 50


def evp_key(secret, salt):
    """OpenSSL's old key derivation, which CryptoJS uses: MD5, one round."""
    digest = block = b""
    while len(digest) < 48:
        block = hashlib.md5(block + secret + salt).digest()
        digest += block
    return digest[:32], digest[32:48]


def open_salted(sealed_hex, secret):
    raw = bytes.fromhex(sealed_hex)
    if raw[:8] != b"Salted__":
        raise SystemExit("not a salted envelope")
    key, iv = evp_key(secret.encode(), raw[8:16])
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    padded = decryptor.update(raw[16:]) + decryptor.finalize()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


def seal_salted(text, secret):
    salt = os.urandom(8)
    key, iv = evp_key(secret.encode(), salt)
    padder = padding.PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return (b"Salted__" + salt + encryptor.update(padded) + encryptor.finalize()).hex()


def call(url, body=None, authorization=None):
    headers = {"internxt-client": "independent-decrypt", "internxt-version": "1.0.0"}
    if authorization:
        headers["Authorization"] = authorization
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json; charset=utf-8"
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.code} at {urllib.parse.urlsplit(url).path}: {error.read(300)!r}") from None


def login(drive, email, password):
    details = call(f"{drive}/auth/login", {"email": email})
    salt = bytes.fromhex(open_salted(details["sKey"], APP_SECRET))
    hashed = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 10000, 32).hex()
    body = {"email": email, "password": seal_salted(hashed, APP_SECRET)}
    return call(f"{drive}/auth/cli/login/access", body)


def children(drive, token, folder, kind):
    offset = 0
    while True:
        query = urllib.parse.urlencode({"limit": PAGE, "offset": offset, "sort": "plainName", "order": "ASC"})
        page = call(f"{drive}/folders/content/{folder}/{kind}?{query}", authorization=f"Bearer {token}")[kind]
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE


def display(row):
    extension = row.get("type")
    return row["plainName"] + (f".{extension}" if extension else "")


def one(rows, what):
    rows = list(rows)
    if len(rows) != 1:
        raise SystemExit(f"{len(rows)} of {what}")
    return rows[0]


def find(drive, token, root, path):
    *folders, name = [part for part in path.split("/") if part]
    at = root
    for folder in folders:
        rows = (r for r in children(drive, token, at, "folders") if r["plainName"] == folder)
        at = one(rows, f"folder {folder}")["uuid"]
    return one((r for r in children(drive, token, at, "files") if display(r) == name), f"file {name}")


def file_key(mnemonic, bucket, index):
    words = unicodedata.normalize("NFKD", " ".join(mnemonic.split())).encode()
    seed = hashlib.pbkdf2_hmac("sha512", words, b"mnemonic", 2048, 64)
    bucket_key = hashlib.sha512(seed + bytes.fromhex(bucket)).digest()
    return hashlib.sha512(bucket_key[:32] + index).digest()[:32]


def ripemd160(data):
    try:
        return hashlib.new("ripemd160", data).hexdigest()
    except ValueError:  # OpenSSL 3 without its legacy provider
        return None


def fetch(network, user, row, mnemonic, sink):
    """Writes the plaintext to `sink`; returns its SHA-256 and size."""
    if int(row["size"]) == 0:
        return hashlib.sha256().hexdigest(), 0
    secret = hashlib.sha256(user["userId"].encode()).hexdigest()
    basic = "Basic " + base64.b64encode(f"{user['bridgeUser']}:{secret}".encode()).decode()
    info = call(f"{network}/buckets/{row['bucket']}/files/{row['fileId']}/info", authorization=basic)
    index = bytes.fromhex(info["index"])
    key = file_key(mnemonic, info["bucket"], index)
    decryptor = Cipher(algorithms.AES(key), modes.CTR(index[:16])).decryptor()
    plain, size, hashes = hashlib.sha256(), 0, []
    for shard in sorted(info["shards"], key=lambda s: s["index"]):
        sealed = hashlib.sha256()
        with urllib.request.urlopen(shard["url"], timeout=60) as body:
            while block := body.read(1 << 20):
                sealed.update(block)
                block = decryptor.update(block)
                plain.update(block)
                size += len(block)
                sink.write(block)
        found = ripemd160(sealed.digest())
        if found is not None and found != shard["hash"]:
            raise SystemExit(f"the content hash differs: {found}, not {shard['hash']}")
        hashes.append(shard["hash"])
    if size != int(row["size"]):
        raise SystemExit(f"{size} bytes came, {row['size']} were promised")
    if info.get("hmac"):
        check_hmac(key, hashes, info["hmac"])
    return plain.hexdigest(), size


def check_hmac(key, hashes, stored):
    extracted = hmac.new(b"\0" * 64, key, "sha512").digest()
    expanded = hmac.new(extracted, b"for hmac\x01", "sha512").digest()
    found = hmac.new(expanded, b"".join(map(bytes.fromhex, hashes)), "sha512").hexdigest()
    if not hmac.compare_digest(found, stored["value"]):
        raise SystemExit("the HMAC differs")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateway")
    parser.add_argument("email")
    parser.add_argument("path", help="from the drive's root, such as /Documents/a.txt")
    parser.add_argument("--out", help="also write the plaintext here")
    args = parser.parse_args()
    gateway = args.gateway.rstrip("/")
    password = sys.stdin.readline().rstrip("\n")

    answer = login(f"{gateway}/drive", args.email, password)
    user, token = answer["user"], answer["newToken"]
    mnemonic = open_salted(user["mnemonic"], password)
    row = find(f"{gateway}/drive", token, user["rootFolderId"], args.path)
    with open(args.out or os.devnull, "wb") as sink:
        digest, size = fetch(f"{gateway}/network", user, row, mnemonic, sink)
    print(json.dumps({"sha256": digest, "size": size, "uuid": row["uuid"], "modified": row["modificationTime"]}))


if __name__ == "__main__":
    main()
