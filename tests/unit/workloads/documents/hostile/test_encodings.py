"""Files of text in every encoding, in none, and with characters that mislead."""

from __future__ import annotations

import json

import pytest

from tests.unit.workloads.documents.hostile.ending import Case, cases, check

pytestmark = pytest.mark.process

SIMPLIFIED = "公平调度器选择虚拟时间最小的合格子节点，并收取预测成本。租户之间互不影响，任务不会丢失。"
TRADITIONAL = "公平調度器選擇虛擬時間最小的合格子節點，並收取預測成本。租戶之間互不影響，任務不會丟失。"
JAPANESE = "公平なスケジューラは、仮想時間が最小の子を選び、予測コストを請求します。ジョブは失われません。"
KOREAN = "공정한 스케줄러는 가상 시간이 가장 작은 적격 자식을 선택하고 예측 비용을 청구합니다."
RUSSIAN = "Справедливый планировщик выбирает подходящего потомка с наименьшим виртуальным временем."
ARABIC = "يختار المجدول العادل الفرع المؤهل ذا أصغر وقت افتراضي ويحسب التكلفة المتوقعة."
FRENCH = "Le café coûte cher, déjà vu, naïveté et señor: l'été où l'on paie l'œuvre « en €uros »."
GUESS = "is a guess"
INVALID = "not valid in the encoding"


def bytes_of(text: str, encoding: str) -> Case:
    return Case("a.txt", lambda: text.encode(encoding), text=text)


@cases(
    utf8_with_mark=bytes_of(SIMPLIFIED, "utf-8-sig"),
    utf16_with_mark=bytes_of(SIMPLIFIED, "utf-16"),
    utf16_big_endian_with_mark=Case("a.txt", lambda: b"\xfe\xff" + KOREAN.encode("utf-16-be"), text=KOREAN),
    utf32=bytes_of(JAPANESE, "utf-32"),
    gbk=bytes_of(SIMPLIFIED, "gbk"),
    gb18030=bytes_of(f"{SIMPLIFIED}㐀", "gb18030"),
    shift_jis=bytes_of(JAPANESE, "shift_jis"),
    euc_jp=bytes_of(JAPANESE, "euc_jp"),
    big5=bytes_of(TRADITIONAL, "big5"),
    euc_kr=bytes_of(KOREAN, "euc_kr"),
)
def test_encoding_that_the_bytes_prove_is_read_without_a_warning(case: Case) -> None:
    check(Case(case.name, case.make, text=case.text.strip()))


@cases(
    utf16_without_mark=Case("a.txt", lambda: f"\n{FRENCH}".encode("utf-16-le"), text=FRENCH, warning=GUESS),
    utf16_big_endian_without_mark=Case("a.txt", lambda: f"\n{FRENCH}".encode("utf-16-be"), text=FRENCH, warning=GUESS),
    koi8=Case("a.txt", lambda: RUSSIAN.encode("koi8-r"), text=RUSSIAN, warning=GUESS),
    cp1251=Case("a.txt", lambda: RUSSIAN.encode("cp1251"), text=RUSSIAN, warning=GUESS),
    cp1252=Case("a.txt", lambda: FRENCH.encode("cp1252"), text=FRENCH, warning=GUESS),
    cp1256=Case("a.txt", lambda: ARABIC.encode("cp1256"), text=ARABIC, warning=GUESS),
    cp1252_of_few_letters=Case("a.txt", lambda: "Le café coûte".encode("cp1252"), text="Le café coûte", warning=GUESS),
    gbk_of_eight_bytes=Case("a.txt", lambda: "公平调度".encode("gbk"), warning=GUESS),  # too short to be told from Big5
    mixed=Case(
        "a.txt",
        lambda: (SIMPLIFIED * 9).encode() + b"caf\xe9\n" + (SIMPLIFIED * 9).encode(),
        text="任务不会丢失。caf",
        warning=INVALID,
    ),
    mixed_by_halves=Case("a.txt", lambda: "déjà ".encode() * 9 + "déjà ".encode("cp1252") * 9, text="d", warning=GUESS),
    invalid_utf8=Case(
        "a.txt", lambda: (SIMPLIFIED * 9).encode() + b"\xff\xfe\xc0\x80", text=SIMPLIFIED, warning=INVALID
    ),
    cut_in_a_character=Case("a.txt", lambda: (SIMPLIFIED * 9).encode()[:-2], text=SIMPLIFIED, warning=INVALID),
    utf16_of_odd_length=Case("a.txt", lambda: SIMPLIFIED.encode("utf-16") + b"x", text=SIMPLIFIED, warning=INVALID),
    lone_surrogate_in_utf16=Case(
        "a.txt",
        lambda: b"\xff\xfe" + "one \ud800 two".encode("utf-16-le", "surrogatepass"),
        text="one",
        warning=INVALID,
    ),
    lone_surrogate_in_utf8=Case(
        "a.txt", lambda: (SIMPLIFIED * 9 + "\ud800").encode("utf-8", "surrogatepass"), text=SIMPLIFIED, warning=INVALID
    ),
    gbk_of_a_line=Case("a.txt", lambda: SIMPLIFIED[:20].encode("gbk"), text=SIMPLIFIED[:20], warning=GUESS),
    false_given_encoding=Case(
        "a.txt", lambda: SIMPLIFIED.encode("gbk"), encoding="utf-8", text="\ufffd", warning=INVALID
    ),
    false_declaration=Case(
        "a.html", lambda: b"<meta charset=utf-16><p>caf\xe9 au lait</p>", text="café au lait", warning=GUESS
    ),
)
def test_encoding_in_doubt_is_a_warning(case: Case) -> None:
    check(case)


@cases(
    bidi_controls=Case("a.txt", "if admin: \u202e#\u2066 begin\u2069 safe".encode, text="if admin: # begin safe"),
    bidi_controls_in_code=Case("a.py", "x = 1 # \u202eelif\u2069\n".encode, text="x = 1 # elif"),
    invisible=Case("a.txt", "pass\u200bword\ufeff \u2060next\u00ad".encode, text="password next"),
    controls=Case("a.txt", lambda: b"line\x1b[31m red " + b"long text " * 60, text="line[31m red"),
    escaped_surrogates_and_nuls=Case(
        "a.json",
        lambda: json.dumps({"k": "a\ud800b\0c" * 200}).encode(),
        text="ab\\u0000c",
    ),
    unicode_noncharacters=Case("a.txt", "one\ufffe two\uffff".encode, text="one two"),
    combining_marks=Case("a.txt", ("Z" + "\u0301" * 5_000 + " end").encode, text="end"),
)
def test_characters_that_mislead_are_not_stored(case: Case) -> None:
    check(case)


@cases(
    empty=Case("a.txt", bytes, code="file_empty"),
    byte_order_mark_alone=Case("a.txt", lambda: b"\xef\xbb\xbf", code="file_without_text"),
    wide_mark_alone=Case("a.txt", lambda: b"\xff\xfe", code="file_without_text"),
    spaces=Case("a.txt", lambda: b" \r\n\t\n" * 900, code="file_without_text"),
    invisible_characters_alone=Case("a.txt", lambda: "\u200b\u202e\u2066\ufeff".encode() * 9, code="file_without_text"),
    nuls=Case("a.txt", lambda: b"\0" * 4_096, code="type_unknown"),
    nuls_among_letters=Case("a.txt", lambda: b"text\0\0\0text " * 99, code="type_unknown"),
    nul_after_the_first_bytes=Case("a.txt", lambda: b"text " * 14_000 + b"\0\0\0", code="file_damaged"),
    every_byte=Case("a.txt", lambda: bytes(range(256)) * 99, code="type_unknown"),
    binary_after_the_first_bytes=Case("a.csv", lambda: b"a,b\n" * 17_000 + bytes(range(256)), code="file_damaged"),
)
def test_bytes_that_are_no_text_are_refused(case: Case) -> None:
    check(case)
