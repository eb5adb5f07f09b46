"""How rows and bytes are kept: engine, group-commit writer, migrations, blobs, outbox, ledger."""
