#!/usr/bin/env python3
"""Verifies songkhao's audit exports, or receipts, as audit.md says, with the standard library alone. Exit 1: broken."""
import argparse, base64, functools, hashlib, json, re, sys
# Ed25519 (RFC 8032, section 5.1.7) in extended coordinates, without any attempt at speed.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
def point(data):  # the curve point that 32 bytes stand for, or None
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 != data[31] >> 7 else x
    return (x, y, 1, x * y % P) if y < P and 0 < x < P and (x * x - square) % P == 0 else None
def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P
times = lambda n, p: functools.reduce(lambda q, b: add(add(q, q), p) if b == "1" else add(q, q), f"{n:b}", (0, 1, 1, 0))
def signed(key, text, signature):
    r, s, a = point(signature[:32]), int.from_bytes(signature[32:], "little"), point(key)
    if None in (r, a) or s >= L: return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    left, right = times(s, point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))), add(r, times(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == (left[1] * right[2] - right[1] * left[2]) % P == 0
class Broken(Exception): pass  # what is wrong; then the line and the entry, where they aren't those being read
def must(holds, *fault):
    if not holds: raise Broken(*fault)
sha = lambda tag, *parts: hashlib.sha256(bytes([tag]) + b"".join(parts)).digest()
def unhex(digits):
    must(re.fullmatch("[0-9a-f]{64}", digits), "this is not a hash in hex")
    return bytes.fromhex(digits)
def unbase64(text, length):
    must(base64.b64encode(data := base64.b64decode(text)).decode() == text and len(data) == length, "this is no base64")
    return data
def compact(text):  # JSON in the one form that songkhao writes
    must(json.dumps(it := json.loads(text), ensure_ascii=False, separators=(",", ":")).encode() == text, "not compact")
    return it
class Key:
    def __init__(self, vkey):
        name, key_id, typed = vkey.split("+", 2)
        self.short, typed = f"{name}+{key_id}", unbase64(typed, 33)
        own_id, self.bytes = hashlib.sha256(f"{name}\n".encode() + typed).hexdigest()[:8], typed[1:]
        must(typed[0] == 1 and own_id == key_id, "the public key's id is not its own")
class Head:
    def __init__(self, note):
        must(match := re.fullmatch("((\\S+)\n(0|[1-9][0-9]*)\n(\\S+)\n)\n\u2014 \\2 (\\S+)\n", note), "malformed head")
        self.text, self.size, self.root = match[1].encode(), int(match[3]), unbase64(match[4], 32)
        signature = unbase64(match[5], 68)
        self.signer, self.signature = f"{match[2]}+{signature[:4].hex()}", signature[4:]
    def check(self, keys, prefix="", *place):
        good = [signed(key.bytes, self.text, self.signature) for key in keys if key.short == self.signer]
        must(any(good), f"{prefix}the head by {self.signer} is forged, or its key is another", *place)
class Log:  # so far; peaks are (level, hash) of its perfect subtrees, largest first
    def __init__(self, size=0, link="00" * 32, peaks=()):
        levels = [level for level in range(63, -1, -1) if size >> level & 1]
        must(len(levels) == len(peaks), "the state that this part starts from is malformed")
        self.size, self.link, self.peaks = size, unhex(link), list(zip(levels, map(unhex, peaks)))
    def append(self, entry):
        node = (0, sha(0, entry))
        self.link, self.size = sha(2, self.link, node[1]), self.size + 1
        while self.peaks and self.peaks[-1][0] == node[0]:
            node = (node[0] + 1, sha(1, self.peaks.pop()[1], node[1]))
        self.peaks.append(node)
    def root(self):
        peaks = [peak for _, peak in reversed(self.peaks)] or [hashlib.sha256().digest()]
        return functools.reduce(lambda right, left: sha(1, left, right), peaks)
ENTRY = re.compile(rb'\{"seq":(0|[1-9][0-9]*),"link":"([0-9a-f]{64})",(?:"head":("[^"]*"),)?(.*)\n', re.S)
def verify(file, given, older, at):  # says what is good, or raises; `at` is kept at the line and the entry being read
    log, start, good, stops, roots = Log(), 0, 0, [], {0: Log().root()}
    for at[0], line in enumerate(file, 1):
        begins, ends = at[0] == 1 and line.startswith(b'{"from":'), line.startswith(b'{"head":')
        at[1] = None if begins or ends else log.size
        must(line.endswith(b"\n"), "the file ends in the middle of this line", at[0], log.size)
        if begins:
            must([*(state := compact(line[:-1])), *state["from"]] == ["from", "size", "link", "peaks"], "other keys")
            log, start, good, roots = Log(**state["from"]), state["from"]["size"], state["from"]["size"], {}
        elif ends: break
        else:
            must((match := ENTRY.fullmatch(line)) and int(match[1]) == log.size, "another line stands where this entry does")
            log.append(b"{" + match[4])
            must(log.link.hex().encode() == match[2], "the entry's bytes and its link don't fit")
            if match[3]:
                stop = (Head(compact(match[3])), f"entries {good} to {at[1]}, or this head, were changed", at[0], good)
                must((stop[0].size, stop[0].root) == (log.size, log.root()), *stop[1:])
                stops, good = [*stops, stop], log.size
        if any(head.size == log.size for head in older): roots[log.size] = log.root()
    else: raise Broken("the last line with the signed head is missing", (at[0] or 0) + 1, log.size)
    last, line_of = compact(line[:-1]), lambda seq: at[0] - log.size + seq
    names = [name for name in ("head", "heads", "former_keys", "public_key") if last.get(name, []) != []]
    must([*last] == names and repr(last["heads"]) == str(len(stops)), "the last line says what is not so")
    head, key, former = Head(last["head"]), Key(last["public_key"]), [*map(Key, last.get("former_keys", []))]
    must(not given or given.short == key.short, f"signed by {key.short}, not by the key given")
    head.check([key])
    for stop, *fault in stops: stop.check([key, *former], *fault)
    must(sorted({stop.signer for stop, *_ in stops} - {key.short}) == sorted(key.short for key in former), "idle keys")
    must(head.size <= log.size, f"this entry and those up to {head.size - 1} are missing", at[0], log.size)
    end, older = max(head.size, start), sorted(older, key=lambda head: head.size)
    must(head.size == log.size, "this entry and what follows were appended", line_of(end), end)
    must(head.root == log.root(), f"entries {good} to {log.size - 1} were changed, linked anew", line_of(good), good)
    for first, head in zip([start, *(head.size for head in older)], older):
        head.check([key, *former], "the older head: ", None, None)
        must(head.size <= log.size, "the log is shorter than the older head: cut, or restored", None, log.size)
        must(head.size >= start, "the older head ends before this part begins", None, None)
        must(head.root == roots[head.size], f"entries {first} to {head.size - 1} are not the older head's", None, first)
    must(not file.read(1), "something follows the line with the signed head", at[0] + 1, None)
    return f"good: entries {start} to {log.size - 1}, signed by {key.short}{'' if given else ', by its own word'}"

def from_leaf(i, size, proof, leaf):  # the root that an inclusion proof leads to (RFC 6962, section 2.1.1)
    if size == 1: return leaf
    half, side = 1 << (size - 1).bit_length() - 1, unhex(proof.pop())
    if i < half: return sha(1, from_leaf(i, half, proof, leaf), side)
    return sha(1, side, from_leaf(i - half, size - half, proof, leaf))
def from_old(n, size, proof, known):  # the older and the present root, by a consistency proof (section 2.1.2)
    if n == size: return (known or unhex(proof.pop()),) * 2
    half, side = 1 << (size - 1).bit_length() - 1, unhex(proof.pop())
    old, now = from_old(n, half, proof, known) if n <= half else from_old(n - half, size - half, proof, None)
    return (old, sha(1, now, side)) if n <= half else (sha(1, side, old), sha(1, side, now))
def verify_receipt(file, given, _, at):
    it = json.load(file)
    must({*it} <= {"entries", "older", "head", "former_keys", "public_key"}, "this receipt says more than it may")
    entries = [(one["seq"], one["proof"], sha(0, one["entry"].encode())) for one in it.get("entries", [])]
    key, head, older = Key(it["public_key"]), Head(it["head"]), it.get("older")
    must(not given or given.short == key.short, f"signed by {key.short}, not by the key given")
    head.check([key])
    must(entries or older, "this receipt shows neither an entry nor an older head")
    if older:
        old, proof = Head(older["head"]), older["proof"]
        old.check([key, *map(Key, it.get("former_keys", []))], "the older head: ")
        must(old.size <= head.size, "the log is shorter than the older head: cut, or restored", None, head.size)
        at[1] = 0
        roots = from_old(old.size, head.size, proof, old.root) if old.size else (Log().root(), head.root)
        must(roots == (old.root, head.root) and not proof, "the log is not the one the older head was signed over")
    for at[1], proof, leaf in entries:
        fits = 0 <= at[1] < head.size and from_leaf(at[1], head.size, proof, leaf) == head.root and not proof
        must(fits, "the entry is not in the log that the head was signed over")
    return f"good: {len(entries)} entries{', an older head' if older else ''}, signed by {key.short}"
parser, broken = argparse.ArgumentParser(description=__doc__), False
parser.add_argument("--key", type=Key)
parser.add_argument("--head", type=lambda name: [*open(name, "rb")], action="append", default=[])
parser.add_argument("--receipt", action="store_const", const=verify_receipt, default=verify)
parser.add_argument("file", nargs="+")
options = parser.parse_args()
older = [Head(b"".join(lines[at:at + 5]).decode()) for lines in options.head for at in range(0, len(lines), 5)]
for name, at in ((name, [None, None]) for name in options.file):
    try: print(f"{name}: {options.receipt(open(name, 'rb'), options.key, older, at)}")
    except (Broken, ValueError, KeyError, TypeError, AttributeError, IndexError) as fault:
        place = zip(("line", "entry"), fault.args[1:] if isinstance(fault, Broken) and fault.args[1:] else at)
        print(f"{name}: BROKEN: {', '.join(f'{what} {n}' for what, n in place if n is not None)}: {fault.args[0]}")
        broken = True
sys.exit(broken)
