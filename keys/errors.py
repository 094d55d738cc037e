"""The one error of this room."""


class KeyFault(Exception):
    """A key, a key file or a keyring cannot be used.

    `code` is a stable dotted word; `zh` and `en` say what is wrong and never contain key material, a passphrase
    or a value that was refused.
    """

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(f"{code}: {en}")
        self.code = code
        self.zh = zh
        self.en = en
