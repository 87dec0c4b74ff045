#!/bin/sh
# Builds kube-apiserver and kube-controller-manager from Debian 12's source package into FOLDER.
#   kube_apiserver.sh VERSION FOLDER
# Takes 10 minutes of processor time and 3 GB of disk while it builds. Needs Debian's golang-1.19-go and
# golang-github-modern-go-reflect2-dev; without them, root and debootstrap, which then makes a Debian 12 to build in.
# The machine's own package sources are asked for source packages too, for this build only.
set -eu
version=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)

scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"

reflect2=github.com/modern-go/reflect2
if [ ! -d /usr/lib/go-1.19 ] || [ ! -d "/usr/share/gocode/src/$reflect2" ]; then
    packages=golang-1.19-go,golang-github-modern-go-reflect2-dev,ca-certificates
    debootstrap --variant=minbase --include="$packages" bookworm "$scratch/debian" >/dev/null
    cp "$0" "$scratch/debian/build"
    chroot "$scratch/debian" sh /build "$version" /built
    cp "$scratch/debian/built/"* "$out"
    exit
fi

tree=$scratch/go/src/k8s.io/kubernetes
mkdir -p "$tree" "$scratch/sources" "$scratch/lists/partial" "$scratch/archives/partial"

if [ -e /etc/apt/sources.list ]; then
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$scratch/sources/one-line.list"
fi
for list in /etc/apt/sources.list.d/*; do
    case $list in
    *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" >"$scratch/sources/${list##*/}" ;;
    *.list) sed -n 's/^deb /deb-src /p' "$list" >"$scratch/sources/${list##*/}" ;;
    esac
done
cat >"$scratch/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$scratch/sources";
Dir::State::Lists "$scratch/lists";
Dir::Cache::Archives "$scratch/archives";
Dir::Cache::PkgCache "";
Dir::Cache::SrcPkgCache "";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$scratch/apt.conf"
cd "$scratch"
apt-get update -qq
apt-get source -qq --download-only kubernetes
tar -C "$tree" --strip-components=1 -xzf kubernetes_*"$version"*.orig.tar.gz

cd "$tree"
export GOROOT=/usr/lib/go-1.19 GOPATH="$scratch/go" GOCACHE="$scratch/cache" GO111MODULE=off GOPROXY=off CGO_ENABLED=0
go=$GOROOT/bin/go
# The package leaves out the OpenAPI definitions, which are generated from the sources.
"$go" build -o "$scratch/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages=$(grep -rlE '^// ?\+k8s:openapi-gen=' --include='*.go' staging/src/k8s.io | xargs -n1 dirname | sort -u |
    grep -v -e /sample- -e /code-generator/ -e /kubectl/ -e /test |
    sed 's#^staging/src/#k8s.io/kubernetes/vendor/#' | paste -sd,)
PATH="$GOROOT/bin:$PATH" "$scratch/openapi-gen" --input-dirs "$packages" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --output-file-base zz_generated.openapi --go-header-file /dev/null --report-filename /dev/null

# The reflect2 of these sources reads a map's iterator as Go before 1.18 laid it out: with a newer Go, a server that serializes
# a map for a webhook crashes. Debian's package has the version for newer ones.
rm -rf "vendor/$reflect2"
cp -r "/usr/share/gocode/src/$reflect2" "vendor/$reflect2"

# kubectl looks at the server's version, which is set while linking.
stamp=k8s.io/component-base/version
minor=${version#*.}
flags="-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=${minor%%.*}"
for program in kube-controller-manager kube-apiserver; do
    "$go" build -ldflags "$flags" -o "$out/$program.part" "./cmd/$program"
    mv "$out/$program.part" "$out/$program"
done
