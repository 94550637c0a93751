"""Letters that look like one of the Latin alphabet: two names that differ in them look the same."""

# From Unicode's confusables.txt (UTS 39); of letters with two cases, either may be the one that is
# alike. A letter stands as its case fold. Two of one alphabet may stand for the same one.
_ALPHABETS = (
    ("авекмнорстухіјѕһԁԛԝӏѵүгзԍѡ", "abekmhopctyxijshdqwlvyr3gw"),  # Cyrillic
    ("αβεζηικμνορτυχϳϝϻ", "abezhikmnoptyxjfm"),  # Greek
    ("ոսօտհցզյլ", "nuoshgqjl"),  # Armenian
    ("ᎪᏴᏏᏟᎠᏧᎬᏀᏳᎻᏂᎥᎫᏦᏞᎷᏢᎡᏒᏕᏚᎢᏙᏔᎳᎩᎽᏃᏎ", "abbcddegghhijklmprrsstvwwyyz4"),  # Cherokee
    ("ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", "abcdefghijklmnoprstuvwxyz"),  # Lisu
    ("ⲁⲃⲥⲉⲏⲓⲕⳑⲙⲛⲟⲣⲧⲭⲩⲍ", "abcehiklmnoptxyz"),  # Coptic
    ("ᗅᗷᗞᖴᕼᒍᛕᒪᗰᑭᖇᑌᐯ᙭", "abdfhjklmpruvx"),  # Canadian syllabics, and a rune
    ("ɑɡɩɪıȷɣʋɯᶃƽȝʒ℮ꬵ", "agiiijyuwgs33ef"),  # phonetic, dotless
    ("ᴀʙᴄᴅᴇꜰɢʜᴊᴋʟᴍɴᴏᴑᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghjklmnooprstuvwyz"),  # small capitals
    ("\u2010\u2011\u2012\u2013\u2014\u2212\u2800", "------ "),  # dashes, and a blank that is none
)
_LOOKS_LIKE = str.maketrans("".join(a for a, _ in _ALPHABETS), "".join(b for _, b in _ALPHABETS))


def as_latin(text: str) -> str:
    """Return a case-folded text with letters of Latin for those that look like one."""
    return text.translate(_LOOKS_LIKE).replace("i\u0307", "i")
