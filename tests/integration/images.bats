#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The store of images: what goes in sound comes out the same, what is not sound is refused by name, and nothing is ever
# half-made.

bats_require_minimum_version 1.5.0
load lib/common
load lib/images

setup() {
	images_setup
}

small_tar() {
	make_tar "$1" <<-END
		d bin
		f bin/sh shell mode=0755
		f etc/motd ${2:-hello}
	END
}

# --- Sources -------------------------------------------------------------------------------------------------------

@test "a folder: contents, modes, links, times and attributes are kept" {
	need_root
	mkdir -p root/etc root/var/empty
	echo hi >root/etc/motd
	ln root/etc/motd root/etc/issue
	ln -s ../etc root/var/link
	printf x >root/suid && chown 12:34 root/suid && chmod 6755 root/suid
	mkfifo root/fifo
	mknod root/null c 1 3
	chmod 555 root/var/empty
	python3 -c 'import os; os.setxattr("root/etc/motd", "user.note", b"kept")'
	truncate -s 100M root/sparse
	touch -d '2001-02-03 04:05:06.789012345' root/etc/motd root/var root

	run image import root tree
	[ "$status" -eq 0 ]
	[[ $output == "tree:latest imported: sha256:"* ]]
	cmp <(cd root && listing) <(cd "$(layer_of tree)" && listing)
	[ "$(python3 -c 'import os,sys; print(os.getxattr(sys.argv[1], "user.note").decode())' \
		"$(layer_of tree)/etc/motd")" = kept ]
	[ "$(stat -c %b "$(layer_of tree)/sparse")" -lt 100 ]
	store_is_clean
}

@test "a folder: the same content has the same layer, any change another" {
	mkdir -p root/a && echo 1 >root/a/f && touch -d @1000 root/a/f root/a root
	image import root one
	cp -a root copy
	image import copy two
	[ "$(layer_of one)" = "$(layer_of two)" ]
	echo 2 >copy/a/f && touch -d @1000 copy/a/f
	image import copy two
	[ "$(layer_of one)" != "$(layer_of two)" ]
}

@test "a folder that holds the store is refused" {
	image list
	mkdir -p "$BIVALVE_STORE"
	refused import "$BATS_TEST_TMPDIR" self
	[[ $stderr == *"the store $BIVALVE_STORE is inside"* ]]
}

@test "tarballs: plain and compressed are the same layer" {
	small_tar root.tar
	gzip -k root.tar && zstd -q root.tar && xz -k root.tar && bzip2 -k root.tar
	for suffix in '' .gz .zst .xz .bz2; do
		run image import "root.tar$suffix" "t${suffix//./}"
		[ "$status" -eq 0 ]
	done
	[ "$(image list --json | jq '[.[].layers[0]] | unique | length')" -eq 1 ]
	[ "$(image list --json | jq length)" -eq 5 ]
	[ "$(image inspect t | jq -r '.layers[0]')" = "sha256:$(sha256sum <root.tar | cut -d' ' -f1)" ]
	[ "$(cat "$(layer_of tgz)/etc/motd")" = hello ]
	store_is_clean
}

@test "standard input: a tarball, an OCI archive, a docker archive, each recognised" {
	small_tar root.tar
	gzip -k root.tar
	image import - a <root.tar.gz
	cat root.tar | image import - b
	make_layout oci root.tar ref=x
	tar -C oci -cf oci.tar .
	cat oci.tar | image import - c
	gzip -c oci.tar | image import - d
	skopeo --insecure-policy copy -q oci:oci:x docker-archive:docker.tar:x:1
	cat docker.tar | image import - e
	[ "$(image list --json | jq '[.[].layers[0]] | unique | length')" -eq 1 ]
	[ "$(image inspect c | jq -r .cwd)" = /w ]
	[ "$(image inspect e | jq -r .cwd)" = /w ]
	run --separate-stderr image import - f </dev/null
	[ "$status" -eq 125 ]
	[ "$stderr" = "bivalve: standard input: empty" ]
}

@test "an OCI layout: configuration, digest, every way to name it" {
	small_tar root.tar
	make_layout oci root.tar ref=v1
	tar -C oci -cf oci.tar .
	image import oci:oci:v1 a
	image import oci:oci b
	image import oci c
	image import oci-archive:oci.tar:v1 d
	image import oci.tar e
	[ "$(image list --json | jq '[.[].digest] | unique | length')" -eq 1 ]
	[ "$(image inspect a | jq -r .digest)" = "$(jq -r '.manifests[0].digest' oci/index.json)" ]
	[ "$(image inspect a | jq -c '[.env, .command, .entrypoint, .cwd, .user, .stop_signal, .architecture]')" = \
		'[["PATH=/bin","A=b=c"],["/bin/sh"],[],"/w","1:2","SIGINT","amd64"]' ]
	refused import oci:oci:v2 f
	[[ $stderr == *'no image "v2" (it has: v1)' ]]
}

@test "an OCI layout with several images wants a name" {
	small_tar a.tar one && small_tar b.tar two
	make_layout oci a.tar ref=a
	make_layout oci b.tar ref=b
	refused import oci:oci x
	[[ $stderr == *"several images: name one by :REF (a, b)" ]]
	image import oci:oci:b x
	[ "$(cat "$(layer_of x)/etc/motd")" = two ]
}

@test "docker's media types, and layers by zstd" {
	small_tar root.tar
	make_layout docker root.tar docker=1
	make_layout zstd root.tar compress=zstd
	make_layout plain root.tar compress=none
	image import docker a && image import zstd b && image import plain c
	[ "$(image list --json | jq '[.[].layers[0]] | unique | length')" -eq 1 ]
}

@test "a multi-platform index, nested: this host's image is taken; none for it is refused by name" {
	small_tar arm.tar arm && small_tar amd.tar amd
	make_layout arm arm.tar arch=arm64
	make_layout amd amd.tar
	"$MAKE_IMAGE" index multi arm=arm64 amd=amd64
	image import multi x
	[ "$(cat "$(layer_of x)/etc/motd")" = amd ]
	"$MAKE_IMAGE" index foreign arm=arm64
	refused import foreign y
	[[ $stderr == *"no image for linux/amd64 (it has: linux/arm64)" ]]
	refused import arm y
	[[ $stderr == *"the image is for linux/arm64, this host is linux/amd64" ]]
	store_is_clean
}

@test "a docker archive of two images: one by tag, both layers shared" {
	small_tar a.tar one && small_tar b.tar two
	make_layout first a.tar
	make_layout second a.tar b.tar
	skopeo --insecure-policy copy -q oci:first docker-archive:one.tar:example/one:1
	image import docker-archive:one.tar x
	image import docker-archive:one.tar:example/one:1 y
	image import docker-archive:one.tar:docker.io/example/one:1 z
	[ "$(image list --json | jq '[.[].digest] | unique | length')" -eq 1 ]
	refused import docker-archive:one.tar:other y
	[[ $stderr == *'no image "other" (it has: '*'example/one:1)' ]]
	image import second w
	run image import docker-archive:one.tar w
	[ "$(ls "$BIVALVE_STORE/layers" | grep -c json)" -eq 2 ]
}

@test "docker save of old: layers that are links to each other" {
	small_tar layer.tar
	mkdir -p a b
	cp layer.tar a/layer.tar
	ln -s ../a/layer.tar b/layer.tar
	id=$(sha256sum <layer.tar | cut -d' ' -f1)
	printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
		"$id" "$id" >c.json
	mv c.json "$(sha256sum <c.json | cut -d' ' -f1).json"
	printf '[{"Config":"%s","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar"]}]' ./*.json >manifest.json
	sed -i 's,"\./,",' manifest.json
	tar -cf docker.tar a b ./*.json
	image import docker-archive:docker.tar x
	# The same layer twice is one lower of the overlay: mounting it twice is refused by the kernel.
	[ "$(image inspect x | jq '.layers | length')" -eq 1 ]
}

@test "an image that umoci made, against umoci's own unpacking" {
	need_root
	umoci init --layout oci && umoci new --image oci:x
	umoci unpack --image oci:x bundle
	mkdir -p bundle/rootfs/etc bundle/rootfs/opt/deep/er
	echo one >bundle/rootfs/etc/one && echo two >bundle/rootfs/etc/two && echo 3 >bundle/rootfs/opt/deep/er/three
	ln bundle/rootfs/etc/one bundle/rootfs/etc/uno
	umoci repack --image oci:x bundle
	rm -r bundle && umoci unpack --image oci:x bundle
	rm -r bundle/rootfs/etc/two bundle/rootfs/opt/deep && echo new >bundle/rootfs/opt/new
	umoci repack --image oci:x bundle
	rm -r bundle && umoci unpack --image oci:x bundle
	image import oci:oci:x x
	[ "$(image inspect x | jq '.layers | length')" -ge 2 ]
	# Sizes of folders are left out, they are the file system's own matter, and so is the number of their links.
	list='find . -printf "%P %y %m %U %G %l\n" | sort; find . -type f | sort | xargs sha256sum'
	cmp <(cd bundle/rootfs && eval "$list") <(merged_sh x "$list")
}

# --- What a layer holds --------------------------------------------------------------------------------------------

@test "a tar entry of every kind" {
	need_root
	make_tar root.tar <<-END
		d . mode=0711 mtime=5
		d dir mode=1777 uid=1 gid=2 mtime=10.25
		d ro mode=0555
		f ro/file x mode=0400 uid=70000 gid=70001 mtime=1000000000.123456789
		f suid x mode=4755 uid=5
		f sgid x mode=2755 gid=6
		l link ../../../etc/passwd uid=7
		h ro/hard suid
		c dev/null 1 3 mode=0666
		b dev/loop 7 0 mode=0660 gid=6
		p fifo mode=0622
		f implied/folder/file x
		f ./dotted//name x
		f /absolute/name x
		f cap x xattr.user.note=kept xattr.trusted.other=kept xattr.trusted.overlay.redirect=/etc
	END
	run --separate-stderr image import root.tar x
	[ "$status" -eq 0 ]
	[ "$stderr" = "bivalve: note: 1 extended attributes left out: not allowed in a layer, or not possible here" ]
	cd "$(layer_of x)"
	[ "$(stat -c '%a %Y' .)" = '711 5' ]
	[ "$(stat -c '%a %u %g %.2Y' dir)" = '1777 1 2 10.25' ]
	[ "$(stat -c %a ro)" = 555 ]
	[ "$(stat -c '%a %u %g' ro/file)" = '400 70000 70001' ]
	[ "$(stat -c '%a %u' suid)" = '4755 5' ]
	[ "$(stat -c '%a %g' sgid)" = '2755 6' ]
	[ "$(readlink link)" = ../../../etc/passwd ]
	[ "$(stat -c %u link)" = 7 ]
	[ suid -ef ro/hard ]
	[ "$(stat -c '%F %t %T %a' dev/null)" = 'character special file 1 3 666' ]
	[ "$(stat -c '%F %t %T %a %g' dev/loop)" = 'block special file 7 0 660 6' ]
	[ "$(stat -c '%F %a' fifo)" = 'fifo 622' ]
	[ "$(stat -c %a implied)" = 755 ]
	[ "$(stat -c %a implied/folder)" = 755 ]
	[ -f dotted/name ] && [ -f absolute/name ]
	[ "$(python3 -c 'import os; print(sorted(os.listxattr("cap")))')" = "['trusted.other', 'user.note']" ]
}

@test "file capabilities are kept" {
	need_root
	make_tar root.tar <<<'f ping x mode=0755'
	mkdir root && cp /bin/true root/ping && setcap cap_net_raw+ep root/ping
	tar --xattrs --xattrs-include='*' -C root -cf root.tar .
	image import root.tar x && image import root y
	[[ $(getcap "$(layer_of x)/ping") == *cap_net_raw* ]]
	[[ $(getcap "$(layer_of y)/ping") == *cap_net_raw* ]]
}

@test "names: long, not ASCII, not UTF-8, with a newline; in any locale" {
	need_root
	mkdir -p "root/$(printf 'n%.0s' {1..200})/$(printf 'm%.0s' {1..200})"
	mkdir -p $'root/\xc3\xa4\xe2\x82\xac' $'root/new\nline'
	touch "root/$(printf 'x%.0s' {1..255})" $'root/latin\xe4'
	for format in gnu pax; do
		tar --format=$format -C root -cf $format.tar .
		LC_ALL=C image import $format.tar $format
		cmp <(cd root && find . | sort) <(cd "$(layer_of $format)" && find . | sort)
	done
}

@test "sparse files stay sparse, and large numbers are read" {
	mkdir root && truncate -s 3G root/sparse && printf end >>root/sparse
	for format in gnu pax; do
		tar -S --format=$format -C root -cf $format.tar .
		image import $format.tar $format
		[ "$(stat -c %s "$(layer_of $format)/sparse")" -eq $((3 * 1024 ** 3 + 3)) ]
		[ "$(stat -c %b "$(layer_of $format)/sparse")" -lt 100 ]
		[ "$(tail -c 3 "$(layer_of $format)/sparse")" = end ]
	done
}

@test "of two entries of one name the later one counts, whatever they are" {
	make_tar root.tar <<-END
		f file old
		f file new
		d dir
		f dir/in x
		f dir now-a-file
		l link /etc
		d link mode=0750
		f link/in x
		f was-file x
		l was-file target
		f a x
		h b a
		f b other
		f self x
		h self self
		d deep/er
		f deep/er/x 1
		f deep gone
		d deep
		f deep/y 2
	END
	image import root.tar x
	cd "$(layer_of x)"
	[ "$(cat file)" = new ]
	[ "$(cat dir)" = now-a-file ]
	[ ! -L link ] && [ "$(stat -c %a link)" = 750 ] && [ -f link/in ]
	[ "$(readlink was-file)" = target ]
	[ "$(cat a)" = x ] && [ "$(cat b)" = other ]
	[ "$(cat self)" = x ]
	[ "$(ls deep)" = y ]
}

layers_with_whiteouts() {
	make_tar 1.tar <<-END
		d etc mode=0700 uid=3
		f etc/a 1
		f etc/b 1
		d opaque
		f opaque/old 1
		d replaced
		f replaced/old 1
		d gone/deep
		f gone/deep/file 1
		d tmp mode=1777
		h etc/a-too etc/a
		f top 1
	END
	make_tar 2.tar <<-END
		f etc/.wh.a
		f etc/c 2
		d opaque mode=0750
		f opaque/new 2
		f opaque/.wh..wh..opq
		f .wh.replaced
		d replaced
		f replaced/new 2
		f tmp/new 2
		f .wh..wh.plnk aufs
		f .wh.unknown
	END
	make_tar 3.tar <<-END
		f .wh.gone
		f etc/a 3
		f early/.wh..wh..opq
		f early/file 3
		f top 3
		f .wh.top
	END
	make_layout oci 1.tar 2.tar 3.tar
}

merged_expected() {
	cat <<-END
		early/file=3
		etc/a=3
		etc/a-too=1
		etc/b=1
		etc/c=2
		opaque/new=2
		replaced/new=2
		tmp/new=2
		top=3
	END
}

@test "whiteouts and opaque folders: the merged layers, mounted as an overlay" {
	need_root
	layers_with_whiteouts
	image import oci x
	show='find . -type f -printf "%P\n" | LC_ALL=C sort | while read -r f; do echo "$f=$(cat "$f")"; done'
	cmp <(merged_sh x "$show") <(merged_expected)
	[ "$(merged_sh x 'find . -type c')" = '' ]
	# Folders that the second layer only implies look as they did below: mode, owner.
	[ "$(merged_sh x 'stat -c "%a %u" tmp etc')" = $'1777 0\n700 3' ]
}

@test "whiteouts and opaque folders: the same on the disk" {
	need_loop
	layers_with_whiteouts
	image import oci x
	show='find . -type f -printf "%P\n" | LC_ALL=C sort | while read -r f; do echo "$f=$(cat "$f")"; done'
	cmp <(disk_sh x "$show") <(merged_expected)
	# An overlay goes on counting a link of etc/a-too that the second layer took away; the disk does not.
	cmp <(disk_sh x listing) <(merged_sh x 'listing | sed "/^etc.a-too/s/ 2 / 1 /"')
}

@test "a single layer's whiteouts are not devices on the disk" {
	need_loop
	make_tar 1.tar <<-END
		f .wh.gone
		f stays x
	END
	image import 1.tar x
	[ "$(disk_sh x 'ls')" = stays ]
}

# --- What is refused -----------------------------------------------------------------------------------------------

# refuses_entry ENTRY WORDS: a layer with this last entry is refused, the line names layer, entry and reason.
refuses_entry() {
	make_tar bad.tar <<<$'d dir\nf dir/file x\nl dir/up ..\nl etc /etc\n'"$1"
	rm -rf oci && make_layout oci bad.tar compress=none
	refused import oci bad
	[[ $stderr == *"layer sha256:$(sha256sum <bad.tar | cut -d' ' -f1)"* ]]
	[[ $stderr == *"$2"* ]]
	store_is_empty
}

@test "names that leave the layer are refused" {
	refuses_entry 'f ../outside x' 'entry "../outside": leaves the root by ".."'
	refuses_entry 'f dir/../../outside x' 'entry "dir/../../outside": leaves the root'
	refuses_entry 'd dir/..' 'leaves the root'
	refuses_entry 'f . x' 'would replace the root'
	[ ! -e outside ] && [ ! -e "$BIVALVE_STORE/../outside" ]
}

@test "names through a symbolic link of the layer are refused" {
	refuses_entry 'f etc/bivalve-was-here x' 'entry "etc/bivalve-was-here": passes through a symbolic link'
	refuses_entry 'f dir/up/x x' 'passes through a symbolic link'
	refuses_entry 'f dir/file/x x' 'passes through something that is not a folder'
	refuses_entry 'f etc/.wh.passwd' 'passes through a symbolic link'
	refuses_entry 'f etc/.wh..wh..opq' 'symbolic link'
	[ ! -e /etc/bivalve-was-here ]
}

@test "hard links out of the layer are refused" {
	refuses_entry 'h x ../../../etc/passwd' "target \"../../../etc/passwd\" leaves the root"
	refuses_entry 'h x /etc/passwd' "passes through a symbolic link"
	refuses_entry 'h x /usr/bin/env' "target \"usr/bin/env\" is not in this layer"
	refuses_entry 'h x etc/passwd' "target \"etc/passwd\" passes through a symbolic link"
	refuses_entry 'h x dir' 'is a folder'
	refuses_entry 'h x .' 'is the root'
}

@test "whiteouts of nothing are refused" {
	refuses_entry 'f .wh.' 'a whiteout of nothing'
	refuses_entry 'f dir/.wh...' 'a whiteout of nothing'
}

@test "depth and length of names are limited" {
	refuses_entry "f $(printf 'a/%.0s' {1..300})x x" 'more than 256 folders deep'
	refuses_entry "f $(printf 'x%.0s' {1..256}) x" 'component of more than 255 bytes'
	refuses_entry "f $(printf 'abcdefghijklmnopqrst/%.0s' {1..200})x x" 'longer than 4095 bytes'
}

@test "damaged layers are refused: digest, size, diff id, cut short, not a tar" {
	small_tar root.tar
	make_layout digest root.tar wrong=digest
	refused import digest x
	[[ $stderr == *"layer sha256:"*"has the digest sha256:"*"damaged" ]]
	make_layout size root.tar wrong=size
	refused import size x
	[[ $stderr == *"layer sha256:"*" bytes instead of "* ]]
	make_layout cut root.tar wrong=truncated
	refused import cut x
	[[ $stderr == *"layer sha256:"*" bytes instead of "* ]]
	make_layout diff root.tar wrong=diff_id
	refused import diff x
	[[ $stderr == *"unpacks to sha256:"*", but the image's configuration says sha256:"* ]]
	make_layout config root.tar wrong=config
	refused import config x
	[[ $stderr == *"blob sha256:"*" has the digest sha256:"* ]]
	head -c 5000 /dev/urandom >noise.bin
	make_layout noise noise.bin
	refused import noise x
	[[ $stderr == *"layer sha256:"*"tar archive"* ]]
	store_is_empty
}

@test "damaged tarballs are refused" {
	head -c 3000000 /dev/urandom >file && tar -czf root.tgz file
	head -c 1000000 root.tgz >cut.tgz
	refused import cut.tgz x
	[[ $stderr == "bivalve: cut.tgz: "* ]]
	tar -cf root.tar file && head -c 1000000 root.tar >cut.tar
	refused import cut.tar x
	[[ $stderr == "bivalve: cut.tar: "* ]]
	refused import file x
	[[ $stderr == "bivalve: file: "*"tar"* ]]
	store_is_empty
}

@test "hostile indexes: blobs outside the layout, wrong types, index loops, no JSON" {
	small_tar root.tar
	make_layout oci root.tar
	good=$(cat oci/index.json)
	jq '.manifests[0].digest = "sha256:../../../../etc/passwd"' <<<"$good" >oci/index.json
	refused import oci x
	[[ $stderr == *"manifests[0].digest"* ]]
	jq '.manifests[0].size = -1' <<<"$good" >oci/index.json
	refused import oci x
	jq '.manifests[0].mediaType = "text/plain"' <<<"$good" >oci/index.json
	refused import oci x
	echo '{' >oci/index.json
	refused import oci x
	[[ $stderr == *index.json* ]]
	echo '{"schemaVersion":2}' >oci/index.json
	refused import oci x
	rm oci/index.json && mkfifo oci/index.json
	refused import oci x
	store_is_empty
}

@test "streams: empty layers, members and frames one after the other, a registry's address" {
	head -c 1024 /dev/zero >empty.tar
	small_tar root.tar
	make_layout oci empty.tar root.tar empty.tar
	image import oci x
	[ "$(image inspect x | jq '.layers | length')" -eq 2 ]
	head -c 700 root.tar >half1 && tail -c +701 root.tar >half2
	(gzip -c half1 && gzip -c half2) >a.gz
	(zstd -qc half1 && zstd -qc half2 && printf '\x50\x2a\x4d\x18\x04\0\0\0skip') >a.zst
	(xz -c half1 && xz -c half2) >a.xz
	for source in a.gz a.zst a.xz; do
		run image import $source y
		[[ $output == *"0 of 1 layers new"* ]]
	done
	refused import docker://docker.io/library/busybox z
	[[ $stderr == *"skopeo copy docker://docker.io/library/busybox oci:DIR"* ]]
}

@test "limits: bytes and entries" {
	mkdir root && head -c 3M /dev/zero >root/zeros && touch root/{1..50}
	tar -C root -czf root.tgz .
	refused import --max-bytes 1m root.tgz x
	[[ $stderr == *"bytes"* ]]
	BIVALVE_IMAGE_MAX_BYTES=1m refused import root.tgz x
	BIVALVE_IMAGE_MAX_ENTRIES=20 refused import root.tgz x
	[[ $stderr == *"more than 20 entries"* ]]
	refused import --max-entries 20 root x
	[[ $stderr == *"more than 20 entries"* ]]
	refused import --max-bytes 1m root x
	truncate -s 1T sparse && tar -Scf sparse.tar sparse
	refused import sparse.tar x
	[[ $stderr == *"more bytes than allowed"* ]]
	store_is_empty
	image import --max-bytes 8m --max-entries 60 root.tgz x
}

@test "names of images" {
	small_tar root.tar
	for name in '' . .x -x /x x/ a//b a/../b 'a b' 'ä' "$(printf 'x%.0s' {1..201})" "x;y"; do
		refused import -- root.tar "$name"
		[[ $stderr == *"image name"* ]]
	done
	image import root.tar registry.example:5000/a/b:1.0
	[ "$(image list -q)" = registry.example:5000/a/b:1.0 ]
	image import root.tar plain
	[ "$(image inspect plain:latest | jq -r .name)" = plain:latest ]
	refused inspect nope
	advice='import one with `bivalve image import SOURCE nope`'
	[ "$stderr" = "bivalve: no image \"nope\" in $BIVALVE_STORE: $advice" ]
}

@test "--change: for tarballs and folders, and only for them" {
	small_tar root.tar
	image import -c 'CMD ["/bin/sh","-c"]' -c 'ENV A=1' -c 'env A=2' -c 'ENV B two' --change 'WORKDIR /x' \
		-c 'USER me' -c 'ENTRYPOINT run it' root.tar x
	[ "$(image inspect x | jq -c '[.command, .env, .cwd, .user, .entrypoint]')" = \
		'[["/bin/sh","-c"],["A=2","B=two"],"/x","me",["/bin/sh","-c","run it"]]' ]
	refused import -c 'LABEL a=b' root.tar y
	[[ $stderr == *'"LABEL"'* ]]
	make_layout oci root.tar
	refused import -c 'CMD x' oci y
}

# --- The store -----------------------------------------------------------------------------------------------------

@test "importing the same again does nothing, and says so" {
	small_tar root.tar
	make_layout oci root.tar
	mkdir tree && echo x >tree/f
	for source in root.tar oci tree; do
		image import $source x
		before=$(find "$BIVALVE_STORE" -type f -printf '%p %T@ %C@\n' | grep -v lock | sort)
		run image import $source x
		[[ $output == "x:latest is unchanged: sha256:"* ]]
		[ "$before" = "$(find "$BIVALVE_STORE" -type f -printf '%p %T@ %C@\n' | grep -v lock | sort)" ] ||
			[ "$(ls "$BIVALVE_STORE/layers" | wc -l)" -gt 0 ]
	done
}

@test "layers are shared, and removed with their last image" {
	small_tar a.tar one && small_tar b.tar two
	make_layout first a.tar && make_layout second a.tar b.tar
	image import first one
	run image import second two
	[[ $output == *"1 of 2 layers new"* ]]
	image disk one && image disk two
	run image remove two
	[ "$output" = "removed 1 images, 1 layers, 1 disks" ]
	[ "$(image list -q)" = one:latest ]
	[ -d "$(layer_of one)" ]
	refused remove one nope
	[ "$(image list -q)" = one:latest ]
	image remove one
	store_is_empty
	[ -z "$(ls "$BIVALVE_STORE"/blobs/*)" ] || [ -z "$(ls -A "$BIVALVE_STORE/blobs/sha256")" ]
}

@test "prune removes what a new import under the same name left, and keeps the rest" {
	small_tar a.tar one && small_tar b.tar two
	image import a.tar x && image disk x
	image import b.tar x && image disk x
	run image prune
	[ "$output" = "removed 0 images, 1 layers, 1 disks" ]
	[ "$(cat "$(layer_of x)/etc/motd")" = two ]
	[ -f "$(image disk x)" ]
}

@test "an image that a live instance uses is not removed" {
	small_tar root.tar
	image import root.tar x
	mkdir -p "$BIVALVE_RUN/job"
	start=$(cut -d' ' -f22 </proc/$$/stat)
	printf '{"id":"job","backend":"container","dir":"%s","status":"running","pid":%d,"pid_start":%d,"image":"x"}' \
		"$BIVALVE_RUN/job" $$ "$start" >"$BIVALVE_RUN/job/state.json"
	refused remove x
	[[ $stderr == *'image "x:latest" is used by job'* ]]
	image remove --force x
	[ -z "$(image list -q)" ]
}

@test "list, inspect: table, names, JSON" {
	[ "$(image list -q)" = "" ]
	[ "$(image list --json | jq length)" -eq 0 ]
	small_tar root.tar
	image import root.tar b && image import --json root.tar a | jq -e '.name == "a:latest"'
	[ "$(image list -q)" = $'a:latest\nb:latest' ]
	[ "$(image list | wc -l)" -eq 3 ]
	[ "$(image list --json | jq -r '.[0].size_bytes')" -eq 10 ]
	refused list extra
	refused nonsense
	for command in import list inspect remove prune disk; do
		run image $command --help
		[ "$status" -eq 0 ]
		[[ $output == "Usage: "* ]]
	done
}

@test "a store that cannot be written to: one line that names it" {
	need_root
	small_tar root.tar
	touch "$BATS_TEST_TMPDIR/file"
	BIVALVE_STORE=$BATS_TEST_TMPDIR/file/store refused import root.tar x
	[[ $stderr == *"cannot write to the store $BATS_TEST_TMPDIR/file/store"* ]]
	mkdir "$BATS_TEST_TMPDIR/roots"
	roots=$BATS_TEST_TMPDIR/roots/store
	cp "$BIVALVE_IMAGE" "$BATS_TEST_TMPDIR/bivalve-image" # where another user can reach it
	BIVALVE_IMAGE=$BATS_TEST_TMPDIR/bivalve-image
	run --separate-stderr as_user env BIVALVE_STORE="$roots" "$BIVALVE_IMAGE" import root.tar x
	[ "$status" -eq 125 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == "bivalve: cannot write to the store $roots"*"Permission denied" ]]
	mkdir "$BIVALVE_STORE"
	run --separate-stderr unshare -m sh -c '
		mount -t tmpfs -o ro none "$BIVALVE_STORE" && exec "$0" import root.tar x' "$BIVALVE_IMAGE"
	[ "$status" -eq 125 ]
	[[ $stderr == "bivalve: cannot write to the store $BIVALVE_STORE"*"Read-only file system" ]]
}

@test "a full disk: one line that names the store, and nothing is left" {
	need_root
	head -c 6M /dev/urandom >blob && tar -cf root.tar blob && gzip -k root.tar && mkdir tree && cp blob tree
	mkdir "$BIVALVE_STORE"
	for source in root.tar root.tar.gz - tree; do
		run --separate-stderr unshare -m bash -c '
			mount -t tmpfs -o size=4m none "$BIVALVE_STORE"
			"$0" import "$1" x <root.tar.gz
			status=$?
			find "$BIVALVE_STORE"/{layers,tmp,images} -mindepth 1
			exit $status' "$BIVALVE_IMAGE" $source
		[ "$status" -eq 125 ]
		[ "$stderr" = "bivalve: no space left in the store $BIVALVE_STORE" ]
		[ -z "$output" ]
	done
	run --separate-stderr unshare -m bash -c '
		mount -t tmpfs -o size=9m none "$BIVALVE_STORE"
		"$0" import root.tar x >/dev/null && "$0" disk x
		status=$?
		ls "$BIVALVE_STORE/tmp" "$BIVALVE_STORE/disks" | grep -v : | xargs
		exit $status' "$BIVALVE_IMAGE"
	[ "$status" -eq 125 ]
	[ "$stderr" = "bivalve: no space left in the store $BIVALVE_STORE" ]
	[ -z "$output" ]
}

# Starts an import that cannot end, since its pipe stays open, and waits until it has made something.
import_that_waits() {
	mkfifo pipe
	"$BIVALVE_IMAGE" import - x <pipe &
	pid=$!
	exec 9>pipe
	cat root.tar >&9
	until [ -n "$(ls -A "$BIVALVE_STORE/tmp" 2>/dev/null)" ]; do sleep 0.01; done
}

@test "killed in the middle: nothing half-made, and the next import or prune clears up" {
	small_tar root.tar
	for next in 'import root.tar y' prune; do
		rm -f pipe
		import_that_waits
		kill -KILL $pid
		wait $pid || true
		exec 9>&-
		[ -n "$(ls -A "$BIVALVE_STORE/tmp")" ]
		refused inspect x
		image $next
		store_is_clean
	done
}

@test "killed while unpacking: the layer is not there, and is made anew" {
	head -c 40M /dev/urandom >noise
	mkdir root && split -b 64k noise root/ && tar -cf root.tar root
	make_layout oci root.tar compress=none
	for after in 0.02 0.05 0.1 0.2; do
		"$BIVALVE_IMAGE" import oci x &
		pid=$!
		sleep $after # the moment is meant to differ
		kill -KILL $pid 2>/dev/null || true
		wait $pid || true
	done
	image import oci x
	store_is_clean
	(cd "$(layer_of x)" && tar -df "$BATS_TEST_TMPDIR/w/root.tar")
}

@test "interrupted by SIGTERM: ends at once and leaves nothing" {
	mkfifo slow
	image list
	(cat "$BATS_TEST_DIRNAME/images.bats"; sleep 30) >slow &
	feeder=$!
	mkdir big && head -c 100M /dev/zero >big/zeros && tar -cf big.tar big && gzip -9 big.tar
	"$BIVALVE_IMAGE" import big.tar.gz x 2>err &
	pid=$!
	until [ -n "$(ls -A "$BIVALVE_STORE/tmp" 2>/dev/null)" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
	kill -TERM $pid 2>/dev/null || true
	status=0
	wait $pid || status=$?
	kill $feeder
	[ $status -eq 0 ] || [ $status -eq 125 ] || [ $status -eq 143 ]
	store_is_clean
}

@test "imports side by side share the work of nobody and spoil none" {
	small_tar a.tar one && small_tar b.tar two
	for i in 1 2 3 4; do
		"$BIVALVE_IMAGE" import a.tar same &
		"$BIVALVE_IMAGE" import b.tar other$i &
	done
	wait
	[ "$(image list -q | wc -l)" -eq 5 ]
	[ "$(ls "$BIVALVE_STORE/layers" | grep -c json)" -eq 2 ]
	store_is_clean
}

@test "prune waits for an import, and takes nothing from it" {
	small_tar root.tar
	import_that_waits
	"$BIVALVE_IMAGE" prune 9>&- &
	prune=$!
	exec 9>&-
	wait $pid
	wait $prune
	[ "$(image list -q)" = x:latest ]
	[ -f "$(layer_of x)/etc/motd" ]
}

# --- Disks ---------------------------------------------------------------------------------------------------------

@test "disk: the layer as it is, whole blocks, the same bytes each time" {
	need_loop
	make_tar root.tar <<-END
		d dir mode=1777 uid=1
		f dir/suid x mode=4755 uid=5 mtime=1000000000.5 xattr.user.note=kept
		h hard dir/suid
		l link target
		c null 1 3 mode=0666
		p fifo
		f future x mtime=9000000000
	END
	image import root.tar x
	disk=$(image disk x)
	[ "$disk" = "$BIVALVE_STORE/disks/$(image inspect x | jq -r '.digest | ltrimstr("sha256:")').erofs" ]
	cmp <(disk_sh x listing) <(cd "$(layer_of x)" && listing)
	[ "$(disk_sh x 'python3 -c "import os; print(os.getxattr(\"hard\", \"user.note\").decode())"')" = kept ]
	first=$(sha256sum <"$disk")
	[ "$(image disk x)" = "$disk" ]
	rm -f "$disk"
	sleep 1.1 # so that a time of making would show
	[ "$(image disk x)" = "$disk" ]
	[ "$first" = "$(sha256sum <"$disk")" ]
	store_is_clean
}

@test "disk: sixty layers, hard links in them stay links" {
	need_loop
	for i in $(seq 60); do
		make_tar $i.tar <<<$'f common '$i$'\nf file'$i$' x\nh hard'$i' file'$i
	done
	make_layout oci $(for i in $(seq 60); do echo $i.tar; done) compress=none
	image import oci x
	[ "$(disk_sh x 'cat common; ls | wc -l; stat -c %h file7; [ file7 -ef hard7 ] && echo same')" = \
		$'60121\n2\nsame' ]
}

@test "disk: a missing layer, a missing mkfs.erofs: one line" {
	small_tar root.tar
	image import root.tar x
	refused inspect y
	run --separate-stderr env PATH=/nonexistent "$BIVALVE_IMAGE" disk x
	[ "$status" -eq 125 ]
	[[ $stderr == *"mkfs.erofs is not installed"* ]]
	rm -r "$(layer_of x)"
	refused disk x
	[[ $stderr == *"is not in the store $BIVALVE_STORE: import it again" ]]
	run image import root.tar x
	[[ $output == *"1 of 1 layers new"* ]]
}

# --- Without privilege ---------------------------------------------------------------------------------------------

@test "not root: everything works, files are the user's, devices are left out with a note" {
	need_root
	layers_with_whiteouts
	make_tar root.tar <<-END
		d . mode=0555
		d ro mode=0500
		f ro/file x mode=0000 uid=5 gid=6 mtime=1000
		f suid x mode=4755
		c dev/null 1 3
		f cap x xattr.trusted.x=y xattr.user.note=kept
	END
	mkdir -m 777 "$BATS_TEST_TMPDIR/his"
	export BIVALVE_STORE=$BATS_TEST_TMPDIR/his/store
	run --separate-stderr as_user "$BIVALVE_IMAGE" import root.tar x
	[ "$status" -eq 0 ]
	[[ $stderr == *"1 devices left out: only root can make them"* ]]
	[[ $stderr == *"1 extended attributes left out"* ]]
	[ "$(stat -c '%u %a %Y' "$(layer_of x)/ro/file")" = '12345 0 1000' ]
	[ "$(stat -c '%u %a' "$(layer_of x)/ro")" = '12345 500' ]
	as_user "$BIVALVE_IMAGE" import oci merged
	as_user "$BIVALVE_IMAGE" disk x
	as_user "$BIVALVE_IMAGE" disk merged
	as_user "$BIVALVE_IMAGE" remove x
	as_user "$BIVALVE_IMAGE" import root.tar x
	as_user "$BIVALVE_IMAGE" prune
	as_user "$BIVALVE_IMAGE" disk x
}

@test "not root: the disk holds the merged layers, owned by root" {
	need_loop
	layers_with_whiteouts
	mkdir -m 777 "$BATS_TEST_TMPDIR/his"
	export BIVALVE_STORE=$BATS_TEST_TMPDIR/his/store
	as_user unshare -Ur true || need userns "no unprivileged user namespaces"
	as_user "$BIVALVE_IMAGE" import oci x
	as_user "$BIVALVE_IMAGE" disk x
	show='find . -type f -printf "%P\n" | LC_ALL=C sort | while read -r f; do echo "$f=$(cat "$f")"; done'
	cmp <(disk_sh x "$show") <(merged_expected)
	[ "$(disk_sh x 'find . -not -uid 0')" = '' ]
}
