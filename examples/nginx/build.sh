#!/bin/sh
# The files that nginx serves, each beginning with the release that they are of.
set -eu
mkdir -p htdocs
echo "${CUTOVER_RELEASE:-v0} nginx" >htdocs/index.html
printf '%-2999s\n' "${CUTOVER_RELEASE:-v0} slowly" >htdocs/slow.txt
