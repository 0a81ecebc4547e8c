#!/usr/bin/env python3
"""Verifies songkhao's audit exports with Python's standard library alone. The format stands in audit.md.
verify_audit.py [--key VKEY] [--head FILE] FILE...     one verdict a file; exit 1 if any is broken"""
import argparse, base64, functools, hashlib, json, re, sys

# Ed25519 (RFC 8032, section 5.1.7) in extended coordinates, without any attempt at speed.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def point(data):
    """The curve point that 32 bytes stand for, or None."""
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P) if y < P and 0 < x < P and (x * x - square) % P == 0 else None

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P

def times(n, p):
    step = lambda q, bit: add(add(q, q), p) if bit == "1" else add(q, q)
    return functools.reduce(step, bin(n)[2:], (0, 1, 1, 0))

def signed(key, text, signature):
    r, s, a = point(signature[:32]), int.from_bytes(signature[32:], "little"), point(key)
    if r is None or a is None or s >= L: return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    left, right = times(s, point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))), add(r, times(k, a))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))

class Broken(Exception):
    """What is wrong; then the line and the entry, where they aren't those being read."""
def must(holds, *fault):
    if not holds: raise Broken(*fault)

def sha(tag, *parts):
    return hashlib.sha256(bytes([tag]) + b"".join(parts)).digest()

def unbase64(text, length):
    data = base64.b64decode(text, validate=True)
    must(len(data) == length and base64.b64encode(data).decode() == text, "this is not the base64 it should be")
    return data

def compact(text):
    value = json.loads(text)  # in the one form that songkhao writes
    must(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() == text, "this is not compact JSON")
    return value

class Key:
    def __init__(self, vkey):
        name, key_id, encoded = vkey.split("+", 2)
        self.short, typed = f"{name}+{key_id}", unbase64(encoded, 33)
        own_id = hashlib.sha256(f"{name}\n".encode() + typed).hexdigest()[:8]
        must(typed[0] == 1 and own_id == key_id, "the public key's id is not its own")
        self.bytes = typed[1:]

class Head:
    def __init__(self, note):
        match = re.fullmatch("((\\S+)\n(0|[1-9][0-9]*)\n(\\S+)\n)\n\u2014 \\2 (\\S+)\n", note)
        must(match, "the signed head is malformed")
        self.text, self.size, self.root = match[1].encode(), int(match[3]), unbase64(match[4], 32)
        signature = unbase64(match[5], 68)
        self.signer, self.signature = f"{match[2]}+{signature[:4].hex()}", signature[4:]
    def check(self, keys, prefix="", *place):
        good = any(key.short == self.signer and signed(key.bytes, self.text, self.signature) for key in keys)
        must(good, f"{prefix}the head by {self.signer} is forged, or its key is another", *place)

class Log:
    """The log so far; peaks are (level, hash) of its perfect subtrees, largest first."""
    def __init__(self, size=0, link="00" * 32, peaks=()):
        levels = [level for level in range(63, -1, -1) if size >> level & 1]
        good = len(levels) == len(peaks) and all(re.fullmatch("[0-9a-f]{64}", digits) for digits in [link, *peaks])
        must(good, "the state that this part starts from is malformed")
        self.size, self.link, self.peaks = size, bytes.fromhex(link), list(zip(levels, map(bytes.fromhex, peaks)))
    def append(self, entry):
        node = (0, sha(0, entry))
        self.link, self.size = sha(2, self.link, node[1]), self.size + 1
        while self.peaks and self.peaks[-1][0] == node[0]:
            node = (node[0] + 1, sha(1, self.peaks.pop()[1], node[1]))
        self.peaks.append(node)
    def root(self):
        hashes = [peak for _, peak in reversed(self.peaks)] or [hashlib.sha256().digest()]
        return functools.reduce(lambda right, left: sha(1, left, right), hashes)

ENTRY = re.compile(rb'\{"seq":(0|[1-9][0-9]*),"link":"([0-9a-f]{64})",(?:"head":("[^"]*"),)?(.*)\n', re.S)

def verify(file, given, older, at):
    """Says what is good, or raises; `at` is kept at the line and the entry being read."""
    log, start, good, stops, older_root = Log(), 0, 0, [], Log().root()
    for at[0], line in enumerate(file, 1):
        begins = at[0] == 1 and line.startswith(b'{"from":')
        at[1] = None if begins else log.size
        must(line.endswith(b"\n"), "the file ends in the middle of this line", at[0], log.size)
        if begins:
            state = compact(line[:-1])
            must([*state, *state["from"]] == ["from", "size", "link", "peaks"], "the first line has other keys")
            log, start, good = Log(**state["from"]), state["from"]["size"], state["from"]["size"]
        elif line.startswith(b'{"head":'): break
        else:
            match = ENTRY.fullmatch(line)
            must(match and int(match[1]) == log.size, "another line stands where this entry belongs")
            log.append(b"{" + match[4])
            must(log.link.hex().encode() == match[2], "the entry's bytes and its link don't fit")
            if match[3]:
                stop, fault = Head(compact(match[3])), f"entries {good} to {at[1]}, or the head here, were changed"
                must((stop.size, stop.root) == (log.size, log.root()), fault, at[0], good)
                stops, good = [*stops, (stop, fault, at[0], good)], log.size
        older_root = log.root() if older and older.size == log.size else older_root
    else:
        raise Broken("the last line with the signed head is missing", (at[0] or 0) + 1, log.size)
    at[1] = None
    last, line_of = compact(line[:-1]), lambda seq: at[0] - log.size + seq
    names = [name for name in ("head", "heads", "former_keys", "public_key") if last.get(name, []) != []]
    must([*last] == names and repr(last["heads"]) == str(len(stops)), "the last line says what is not so")
    head, key, former = Head(last["head"]), Key(last["public_key"]), [*map(Key, last.get("former_keys", []))]
    must(not given or given.short == key.short, f"signed by {key.short}, not by the key given")
    head.check([key])
    for stop, *fault in stops:
        stop.check([key, *former], *fault)
    signers = {stop.signer for stop, *_ in stops} - {key.short}
    must(sorted(signers) == sorted(key.short for key in former), "the former keys aren't those that signed a head")
    must(head.size <= log.size, f"this entry and those up to {head.size - 1} are missing", at[0], log.size)
    end, rewritten = max(head.size, start), f"entries {good} to {log.size - 1} were changed, and linked anew"
    must(head.size == log.size, "this entry and what follows were appended", line_of(end), end)
    must(head.root == log.root(), rewritten, line_of(good), good)
    if older:
        older.check([key, *former], "the older head: ", None, None)
        must(older.size <= log.size, "the log is shorter than the older head: cut, or restored", None, log.size)
        must(older.size >= start, "the older head ends before this part begins", None, None)
        must(older.root == older_root, "the log is not the one the older head was signed over", None, start)
    must(not file.read(1), "something follows the line with the signed head", at[0] + 1, None)
    return f"good: entries {start} to {log.size - 1}, signed by {key.short}{'' if given else ', by its own word'}"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--key", type=Key)
parser.add_argument("--head", type=lambda name: Head(open(name, encoding="utf-8", newline="").read()))
parser.add_argument("file", nargs="+")
options, broken = parser.parse_args(), False
for name, at in ((name, [None, None]) for name in options.file):
    try:
        print(f"{name}: {verify(open(name, 'rb'), options.key, options.head, at)}")
    except (Broken, ValueError, KeyError, TypeError, AttributeError) as fault:
        place = zip(("line", "entry"), fault.args[1:] if isinstance(fault, Broken) and fault.args[1:] else at)
        print(f"{name}: BROKEN: {', '.join(f'{what} {n}' for what, n in place if n is not None)}: {fault.args[0]}")
        broken = True
sys.exit(broken)
