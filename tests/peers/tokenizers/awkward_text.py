"""Texts that tokenizers have got wrong before."""
import random

NAMED = {
    "empty": "",
    "one space": " ",
    "spaces at the ends and in rows": "  a   b    c  ",
    "line ends": "a\nb\r\nc\rd\n\n\n\te\x0b\x0c",
    "lone carriage return": "\r",
    "NUL": "\0 a\0b\0\0",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x85\x9f",
    "combining marks": "e\u0301 \u00e9 o\u0308\u0304 a" + "\u0300\u0316\u0334" * 40 + " \u0301alone",
    "Hangul as jamo and whole": "\u1112\u1161\u11ab \ud55c",
    "emoji with joiners": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "emoji with a variation": "\U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f 1\ufe0f\u20e3",
    "flags and skin tones": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0639\u0631\u0628\u064a \u202eabc\u202c \u2067x\u2069",
    "SentencePiece's sign for a space": "\u2581 \u2581\u2581a \u2581b\u2581",
    "SentencePiece's sign for the unknown": "\u2585 \u2047",
    "no-break and other spaces": "a\u00a0b\u2003c\u3000d\u200be\u2028f\u2029g\ufeffh",
    "byte order mark": "\ufeffa",
    "soft hyphen": "soft\u00adhyphen",
    "ligatures and full width": "\ufb01\ufb02 \uff21\uff22\uff11 \u2460 \u00bd \u212b",
    "cases that change length": "\u0130\u0131 \u00df\u1e9e \u01c4\u01c5 \u03a3\u03c3\u03c2",
    "replacement and non-characters": "\ufffd \uffff \ufdd0 \U0001fffe \U0010ffff",
    "private use": "\ue000\uf8ff\U000f0000",
    "contractions": "I'll don't WE'VE it\u2019s 'tis o'clock 's 't",
    "digits": "1 12 123 1234567890 3.14 1,000 \u0661\u0662\u0663 \u0967\u0968",
    "names": "snake_case CamelCase kebab-case a.b.c http://x.y/?z=1&q=%20 #!$%^&*()",
    "special tokens as text": "<s> </s> <unk> <|endoftext|> x<|endoftext|>y <0x0A> <0xFF> <pad>",
    "no spaces between words": "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u4e2d\u6587 \u0e44\u0e17\u0e22",
    "Greek and Cyrillic": "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u0420\u0443\u0441\u0441\u043a\u0438\u0439",
    "Devanagari": "\u0939\u093f\u0928\u094d\u0926\u0940",
    "a very long word": "supercalifragilistic" * 5000,
    "one character very often": "a" * 50000,
    "many line ends": "\n" * 20000,
    "a megabyte of spaces": " " * (1 << 20),
}
# Well-formed looking, yet no UTF-8: overlong, a surrogate, beyond Unicode, cut off, a lone continuation, Latin-1.
NOT_UTF8 = (b"a\xc0\x80", b"a\xed\xa0\x80", b"a\xf4\x90\x80\x80", b"a\xe2\x96", b"a\x80", b"caf\xe9 a")


def random_characters(seed, count):
    """Any characters of Unicode, mixed with letters and spaces."""
    drawn = random.Random(seed)
    characters = []
    while len(characters) < count:
        code = drawn.choice((drawn.randrange(0x110000), drawn.randrange(0x3000), drawn.randrange(32, 127), 32))
        if not 0xD800 <= code < 0xE000:
            characters.append(chr(code))
    return "".join(characters)


def texts():
    """(name, text) of all of them."""
    yield from NAMED.items()
    for seed in range(60):
        yield f"random characters, seed {seed}", random_characters(seed, 200)
    yield "the first plane of Unicode", "".join(chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000)
