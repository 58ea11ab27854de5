"""
The nouns of chaosfw, frozen, without behaviour beyond saying themselves in words.

Every other room holds verbs over these. They are :class:`msgspec.Struct` types, because most of them cross a border as JSON
(journal, plan, ledger, executor): one library encodes, decodes and *validates* them, and unions carry their own tag.
"""
