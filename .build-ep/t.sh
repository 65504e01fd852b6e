#!/bin/bash
# usage: t.sh test/file.test.ts [mocha args]
cd /work/main; f=$1; shift
o=.build-ep/$(echo $f | tr / _ | sed 's/\.ts$/.mjs/')
npx esbuild $f --bundle --packages=external --platform=node --format=esm --target=node20 --sourcemap --log-level=warning --outfile=$o && NODE_OPTIONS=--enable-source-maps npx mocha --timeout 60000 --exit "$@" $o
