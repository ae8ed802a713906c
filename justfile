# What is done every day, by its shortest name. Every recipe is one script or one line of cargo, which CONTRIBUTING.md has,
# too: nobody needs `just` (`cargo install just`).

# What there is.
default:
    @just --list

# Format, lint, unit tests: before every commit, under two minutes where things are built.
fast:
    scripts/fast

# Format, lint, documentation and all tests: what has to pass before a change lands (twenty minutes).
test:
    scripts/test

# What `just test` would install first.
what:
    scripts/test --what

# A grab and a refusal beside nginx and the usual design, in two minutes; `just bench` and anything goes to the script.
bench *arguments='--quick --only win,sold':
    scripts/bench {{arguments}}

# Licences, bans, sources, and advisories if their database is there.
deny:
    scripts/deny

# The documentation of the code; a broken link is an error.
doc *arguments:
    cargo doc --workspace --no-deps --document-private-items --locked {{arguments}}
