"""Speaks for one tokenizer.json: the requests of core/data/sentencepiece/server.h, answered by Hugging Face's library.

usage: huggingface_tokenizer.py PACKAGES serve TOKENIZER.json
PACKAGES is a folder with the package `tokenizers`, asked before the interpreter's own. Nothing reaches for the network.
Exit code 2: usage; 3: what is missing or cannot be read, in one line on standard error.
"""
import array
import json
import os
import pathlib
import signal
import struct
import sys

USAGE_FAULT = 2
STORAGE_FAULT = 3
LARGEST_FRAME_BYTES = 1 << 30
LARGEST_VOCABULARY = 1 << 24
MOST_THREADS = 8
LENGTH = struct.Struct("<I")
# Where no file beside the tokenizer names the end of a text: GPT-2's, LLaMA's.
USUAL_ENDS = ("<|endoftext|>", "</s>")


class Refusal(Exception):
    """What a person should read, in one line."""


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def import_library(packages):
    if sys.version_info < (3, 10):
        raise Refusal(f"{sys.executable} is Python {sys.version.split()[0]}, expected 3.10 or newer: set HETMOE_PYTHON")
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)))
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, packages)
    try:
        import tokenizers
    except ImportError as error:
        raise Refusal(f"the Python package tokenizers is not usable in '{packages}' nor in {sys.executable}: "
                      f"deploy/setup.sh installs it ({one_line(error)})") from error
    return tokenizers


def load(tokenizers, path):
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise Refusal(f"cannot read '{path}': {error.strerror}") from error
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(contents)
    except BaseException as error:  # a panic of the library is no Exception
        raise Refusal(f"{path}: not a tokenizer.json that tokenizers {tokenizers.__version__} reads: "
                      f"{one_line(error)}") from error
    if getattr(tokenizer.model, "dropout", None):
        raise Refusal(f"{path}: model.dropout is {tokenizer.model.dropout:g}, must be null: "
                      "the same text has to give the same tokens")
    check_ids(tokenizer, json.loads(contents), path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def check_ids(tokenizer, file, path):
    """The library numbers added tokens anew where the file leaves a gap before them, and may so give one id twice."""
    for added in file.get("added_tokens") or []:
        number = tokenizer.token_to_id(added["content"])
        if number != added["id"]:
            raise Refusal(f"{path}: added token {json.dumps(added['content'])[:80]} has id {added['id']}, which the "
                          f"library reads as {number}: ids of added tokens go on where those of the model end")
    owners = {}
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if owners.setdefault(number, token) != token:
            both = " and ".join(json.dumps(one)[:80] for one in sorted((token, owners[number])))
            raise Refusal(f"{path}: id {number} stands for {both}, expected one token for an id")


def read_object(path):
    """The JSON object in a file, {} where there is no such file."""
    try:
        contents = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Refusal(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: not JSON: {one_line(error)}") from error
    if not isinstance(contents, dict):
        raise Refusal(f"{path}: not a JSON object")
    return contents


def named_end(folder):
    """(file, token's text or id) where a file beside the tokenizer tells it, else (None, None)."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = read_object(folder / name).get("eos_token")
        if isinstance(token, dict):
            token = token.get("content")
        if token is not None:
            return folder / name, token
    token = read_object(folder / "generation_config.json").get("eos_token_id")
    if isinstance(token, list):
        token = token[0] if token else None
    return (folder / "generation_config.json", token) if token is not None else (None, None)


def find_end_of_document(tokenizer, path):
    file, token = named_end(path.parent)
    if file is None:
        added = tokenizer.get_added_tokens_decoder()
        specials = {token.content: number for number, token in added.items() if token.special}
        for usual in USUAL_ENDS:
            if usual in specials:
                return specials[usual]
        raise Refusal(f"{path}: no token ends documents: none of its special tokens is {' or '.join(USUAL_ENDS)}; "
                      "name one as eos_token in tokenizer_config.json beside it (data prepare: --end-of-document)")
    if isinstance(token, str):
        number = tokenizer.token_to_id(token)
    else:
        is_id = type(token) is int and 0 <= token < LARGEST_VOCABULARY
        number = token if is_id and tokenizer.id_to_token(token) is not None else None
    if number is None:
        raise Refusal(f"{file}: the token that ends documents is {json.dumps(token)[:80]}, "
                      f"which is not in the vocabulary of {path}")
    return number


class Server:
    def __init__(self, tokenizer, path):
        self.tokenizer = tokenizer
        self.end_of_document = find_end_of_document(tokenizer, path)
        self.vocab_size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        if self.vocab_size > LARGEST_VOCABULARY:
            raise Refusal(f"{path}: the largest id is {self.vocab_size - 1}, allowed: below {LARGEST_VOCABULARY}")

    def describe(self):
        # The 0: a text that holds a special token, or bytes that are not UTF-8, does not come back as it was.
        return struct.pack("<iiB", self.vocab_size, self.end_of_document, 0)

    def encode(self, body):
        texts = take_texts(body)
        parts = []
        for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = array.array("i", encoding.ids)
            parts += [LENGTH.pack(len(ids)), ids.tobytes()]
        return b"".join(parts)

    def decode(self, body):
        ids = array.array("i")
        ids.frombytes(body)
        for number in ids:
            if not 0 <= number < self.vocab_size:
                raise Refusal(f"id {number} is not in the vocabulary")
        kept = [number for number in ids if number != self.end_of_document]
        return self.tokenizer.decode(kept, skip_special_tokens=True).encode()

    def answer(self, request):
        kind, body = request[:1], request[1:]
        try:
            if kind == b"M":
                return b"+" + self.describe()
            if kind == b"E":
                return b"+" + self.encode(body)
            if kind == b"D":
                return b"+" + self.decode(body)
            return b"-unknown request"
        except BaseException as error:  # a panic of the library is no Exception
            return b"-" + one_line(error).encode(errors="replace")


def take_texts(body):
    """count u32, count x (bytes u32, UTF-8)"""
    if len(body) < LENGTH.size or LENGTH.unpack_from(body)[0] > len(body) // LENGTH.size:
        raise Refusal("the request is too short")
    texts = []
    position = LENGTH.size
    for number in range(LENGTH.unpack_from(body)[0]):
        begin = position + LENGTH.size
        if begin > len(body) or begin + LENGTH.unpack_from(body, position)[0] > len(body):
            raise Refusal("the request is too short")
        position = begin + LENGTH.unpack_from(body, position)[0]
        try:
            texts.append(body[begin:position].decode())
        except UnicodeDecodeError as error:
            raise Refusal(f"text {number} is not UTF-8 at byte {error.start}") from error
    return texts


def read_exactly(stream, count):
    data = stream.read(count)
    if len(data) != count:
        raise Refusal("the connection broke within a request")
    return data


def serve(server, requests, replies):
    while True:
        head = requests.read(LENGTH.size)
        if not head:
            return
        if len(head) < LENGTH.size:
            raise Refusal("the connection broke within a request")
        count = LENGTH.unpack(head)[0]
        if count > LARGEST_FRAME_BYTES:
            raise Refusal("a request exceeds 1 GiB")
        reply = server.answer(read_exactly(requests, count))
        if len(reply) > LARGEST_FRAME_BYTES:
            reply = b"-a reply exceeds 1 GiB"
        replies.write(LENGTH.pack(len(reply)) + reply)
        replies.flush()


def main(words):
    if len(words) != 3 or words[1] != "serve":
        sys.stderr.write("usage: hetmoe-huggingface-tokenizer serve TOKENIZER.json\n")
        return USAGE_FAULT
    # Control-C is the parent's to act on: this process ends with the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever else prints must not get between the replies.
    requests, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        path = pathlib.Path(words[2])
        serve(Server(load(import_library(words[0]), path), path), requests, replies)
    except (Refusal, OSError) as error:
        sys.stderr.write(one_line(error) + "\n")
        return STORAGE_FAULT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
