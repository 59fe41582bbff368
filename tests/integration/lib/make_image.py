#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tar files and OCI layouts for the tests, sound ones and broken ones.

  make_image.py tar OUT [gnu]           entries from standard input, one a line (shell quoting):
      d PATH | f PATH CONTENT | l PATH TARGET | h PATH TARGET | c PATH MAJOR MINOR | b … | p PATH
      then any of mode=0755 uid=1 gid=2 mtime=1.5 xattr.NAME=VALUE
  make_image.py layout DIR TAR… [key=value…]   one image of these layers, lowest first
      ref=NAME arch=amd64 compress=gzip|zstd|xz|none cmd='["/bin/sh"]'
      wrong=digest|size|diff_id|config|truncated   what the last layer (or the configuration) does not keep
      docker=1   media types of docker's schema 2
  make_image.py index DIR LAYOUT=ARCH…  one multi-platform image: an index in an index, of the layouts' only images
"""
import gzip, hashlib, io, json, os, shlex, shutil, subprocess, sys, tarfile

TYPES = {'d': tarfile.DIRTYPE, 'f': tarfile.REGTYPE, 'l': tarfile.SYMTYPE, 'h': tarfile.LNKTYPE,
         'c': tarfile.CHRTYPE, 'b': tarfile.BLKTYPE, 'p': tarfile.FIFOTYPE}
OCI, DOCKER = 'application/vnd.oci.image.', 'application/vnd.docker.'


def make_tar(out, gnu):
    form = tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT
    with tarfile.open(out, 'w', format=form) as tar:
        for line in sys.stdin:
            words = shlex.split(line)
            if not words:
                continue
            kind, path, rest = words[0], words[1], words[2:]
            info, data = tarfile.TarInfo(path), b''
            info.type, info.mtime, info.mode = TYPES[kind], 1000000000, 0o755 if kind == 'd' else 0o644
            if kind == 'f':
                data = (rest.pop(0) if rest else '').encode()
                info.size = len(data)
            elif kind in 'lh':
                info.linkname = rest.pop(0)
            elif kind in 'cb':
                info.devmajor, info.devminor = int(rest.pop(0)), int(rest.pop(0))
            for key, value in (word.split('=', 1) for word in rest):
                if key == 'mode':
                    info.mode = int(value, 8)
                elif key == 'mtime':
                    info.mtime = float(value)
                elif key.startswith('xattr.'):
                    info.pax_headers['SCHILY.xattr.' + key[6:]] = value
                else:
                    setattr(info, key, int(value))
            tar.addfile(info, io.BytesIO(data))


def sha256(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def put_blob(layout, data):
    os.makedirs(layout + '/blobs/sha256', exist_ok=True)
    digest = sha256(data)
    with open(layout + '/blobs/sha256/' + digest[7:], 'wb') as f:
        f.write(data)
    return digest


def compress(data, how):
    if how == 'gzip':
        return gzip.compress(data, 1, mtime=0)
    if how in ('zstd', 'xz'):
        return subprocess.run([how, '-q', '-c'], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def descriptor(media, digest, size, **more):
    return {'mediaType': media, 'digest': digest, 'size': size, **more}


def write_index(layout, manifests):
    with open(layout + '/oci-layout', 'w') as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(layout + '/index.json', 'w') as f:
        json.dump({'schemaVersion': 2, 'manifests': manifests}, f)


def make_layout(layout, tars, o):
    docker, how, wrong = o.get('docker'), o.get('compress', 'gzip'), o.get('wrong')
    layers, diff_ids = [], []
    for number, name in enumerate(tars):
        last = number == len(tars) - 1
        raw = open(name, 'rb').read()
        data = compress(raw, how)
        digest, size = put_blob(layout, data), len(data)
        path = layout + '/blobs/sha256/' + digest[7:]
        diff_ids.append(sha256(raw + b'x') if wrong == 'diff_id' and last else sha256(raw))
        if wrong == 'digest' and last:
            with open(path, 'r+b') as f:
                f.seek(size // 2)
                byte = f.read(1)
                f.seek(size // 2)
                f.write(bytes([byte[0] ^ 1]))
        if wrong == 'truncated' and last:
            os.truncate(path, size // 2)
        if wrong == 'size' and last:
            size += 1
        suffix = '' if how == 'none' else ('.' if docker else '+') + how
        media = DOCKER + 'image.rootfs.diff.tar' if docker else OCI + 'layer.v1.tar'
        layers.append(descriptor(media + suffix, digest, size))
    config = {'architecture': o.get('arch', 'amd64'), 'os': 'linux',
              'config': {'Cmd': json.loads(o.get('cmd', '["/bin/sh"]')), 'Env': ['PATH=/bin', 'A=b=c'],
                         'WorkingDir': '/w', 'User': '1:2', 'StopSignal': 'SIGINT', 'Entrypoint': None},
              'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}
    data = json.dumps(config).encode()
    digest = put_blob(layout, data)
    if wrong == 'config':
        with open(layout + '/blobs/sha256/' + digest[7:], 'wb') as f:
            f.write(data.replace(b'A=b', b'A=x'))
    types = (DOCKER + 'distribution.manifest.v2+json', DOCKER + 'container.image.v1+json') if docker else \
            (OCI + 'manifest.v1+json', OCI + 'config.v1+json')
    manifest = {'schemaVersion': 2, 'mediaType': types[0], 'config': descriptor(types[1], digest, len(data)),
                'layers': layers}
    data = json.dumps(manifest).encode()
    more = {'annotations': {'org.opencontainers.image.ref.name': o['ref']}} if 'ref' in o else {}
    manifests = []
    if os.path.exists(layout + '/index.json'):
        manifests = json.load(open(layout + '/index.json'))['manifests']
    write_index(layout, manifests + [descriptor(types[0], put_blob(layout, data), len(data), **more)])


def make_index(layout, parts):
    entries = []
    for part in parts:
        source, arch = part.split('=')
        entry = json.load(open(source + '/index.json'))['manifests'][0]
        entry['platform'] = {'os': 'linux', 'architecture': arch}
        entries.append(entry)
        shutil.copytree(source + '/blobs', layout + '/blobs', dirs_exist_ok=True)
    data = json.dumps({'schemaVersion': 2, 'manifests': entries}).encode()
    write_index(layout, [descriptor(OCI + 'index.v1+json', put_blob(layout, data), len(data))])


def main():
    command, out, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if command == 'tar':
        make_tar(out, 'gnu' in rest)
    elif command == 'layout':
        make_layout(out, [w for w in rest if '=' not in w], dict(w.split('=', 1) for w in rest if '=' in w))
    elif command == 'index':
        make_index(out, rest)
    else:
        sys.exit(__doc__)


main()
