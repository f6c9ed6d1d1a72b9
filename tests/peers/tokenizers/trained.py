"""Tokenizers trained here: byte-level BPE of GPT-2's kind, SentencePiece BPE with byte fallback of LLaMA-2's kind.

make(folder) writes them; the same text gives the same files every time.
"""
import gzip
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent
DICTIONARY = pathlib.Path("/usr/share/dictd/gcide.dict.dz")
TRAINING_BYTES = 600_000
SPACE = "\u2581"
# A dictionary of English has few of these.
OTHER_LINES = ("\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u044f\u0437\u044b\u043a", "\u65e5\u672c\u8a9e \u4e2d\u6587",
               "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "na\u00efve caf\u00e9 d\u00e9j\u00e0 vu",
               "    indented\tby tabs")


def english():
    """Dictionary text where Debian's dict-gcide is installed, the little text of the peers elsewhere."""
    if DICTIONARY.exists():
        with gzip.open(DICTIONARY) as stream:
            stream.seek(3_000_000)
            return stream.read(TRAINING_BYTES).decode(errors="ignore")
    return (HERE.parent / "reference/text.txt").read_text()


def training_lines():
    return english().split("\n") + list(OTHER_LINES) * 20


def byte_level(folder, vocab_size):
    """As GPT-2's: the splitting into words, all 256 bytes, one special token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(training_lines(), trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])  # the last id, as there
    tokenizer.save(str(folder / "gpt2.json"))


def sentencepiece_model(folder, vocab_size):
    """As LLaMA-2's: no normalisation, a space put before the text, digits alone, bytes for what is unknown."""
    import sentencepiece
    lines = [line for line in training_lines() if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "llama"), model_type="bpe", vocab_size=vocab_size,
        byte_fallback=True, normalization_rule_name="identity", split_digits=True, character_coverage=0.9995,
        allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, add_dummy_prefix=True, num_threads=1,
        minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "llama.model"))


def merges_of(vocabulary, specials):
    """Pairs in the order in which SentencePiece prefers what they make: the smaller id first."""
    pairs = []
    for piece, number in vocabulary.items():
        if number in specials:
            continue
        halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        known = [(vocabulary[left], vocabulary[right], left, right) for left, right in halves
                 if left in vocabulary and right in vocabulary]
        pairs += [[left, right] for _, _, left, right in sorted(known)]
    return pairs


def from_sentencepiece(processor):
    """The same model as a tokenizer.json."""
    size = processor.get_piece_size()
    specials = {number for number in range(size)
                if processor.is_control(number) or processor.is_unknown(number) or processor.is_byte(number)}
    vocabulary = {processor.id_to_piece(number): number for number in range(size)}
    merges = [tuple(pair) for pair in merges_of(vocabulary, specials)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    names = ("<unk>", "<s>", "</s>")
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A",
                                                             special_tokens=[("<s>", vocabulary["<s>"])])
    return tokenizer


def byte_fallback(folder, processor):
    """The two ways in which LLaMA-2's tokenizer.json is found: spaces by a normalizer, and by Metaspace."""
    from tokenizers import normalizers
    tokenizer = from_sentencepiece(processor)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.save(str(folder / "llama.json"))
    tokenizer = from_sentencepiece(processor)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first", split=False)
    tokenizer.save(str(folder / "metaspace.json"))


def respell_merges(source, target):
    """The same tokenizer with the other spelling of merges."""
    tokenizer = json.loads(source.read_text())
    merges = tokenizer["model"]["merges"]
    tokenizer["model"]["merges"] = [" ".join(one) if isinstance(one, list) else one.split(" ") for one in merges]
    target.write_text(json.dumps(tokenizer))


def make(folder, vocab_size=2000):
    """gpt2.json, llama.json, metaspace.json, llama.model, and NAME-other.json with merges spelled the other way."""
    byte_level(folder, vocab_size)
    byte_fallback(folder, sentencepiece_model(folder, vocab_size))
    for name in ("gpt2", "llama", "metaspace"):
        respell_merges(folder / f"{name}.json", folder / f"{name}-other.json")
