// What kind of file system a folder is on, and what that means for a scanner. File notifications do not cross
// network file systems: changes by another host are never reported there, and nothing says so.
import { fileSystemType } from './calls.ts';

export interface FileSystem {
  readonly name: string;
  /** Calls may hang for good: keep them few. */
  readonly remote: boolean;
  /** trusted: local, notifications are complete. hints: they may come and wake the scanner. none: not asked for. */
  readonly notifications: 'trusted' | 'hints' | 'none';
  /** Attributes may be this stale (cached by the client): no file settles faster. */
  readonly min_settle_ms: number;
  /** Inode numbers are the same after a remount; where not, they stay out of event ids. */
  readonly stable_inodes: boolean;
}

function local(name: string): FileSystem {
  return { name, remote: false, notifications: 'trusted', min_settle_ms: 0, stable_inodes: true };
}

function network(name: string, min_settle_ms = 0, stable_inodes = true): FileSystem {
  return { name, remote: true, notifications: 'none', min_settle_ms, stable_inodes };
}

// Magic numbers: statfs(2). NFS caches attributes of fresh files for 3 s by default (acregmin), SMB for 1 s.
const BY_MAGIC: ReadonlyMap<number, FileSystem> = new Map([
  [0xef53, local('ext')],
  [0x58465342, local('xfs')],
  [0x9123683e, local('btrfs')],
  [0x01021994, local('tmpfs')],
  [0x2fc12fc1, local('zfs')],
  [0xf2f52010, local('f2fs')],
  [0x6969, network('nfs', 4_000)],
  [0x517b, network('smb', 2_000, false)],
  [0xff534d42, network('cifs', 2_000, false)],
  [0xfe534d42, network('smb2', 2_000, false)],
  [0x0bd00bd0, network('lustre')],
  [0x47504653, network('gpfs')],
  [0x19830326, network('beegfs')],
  [0x00c36400, network('ceph')],
  [0xaad7aaea, network('panfs')],
  [0x7461636f, network('ocfs2')],
  [0x01161970, network('gfs2')],
  [0x5346414f, network('afs')],
  [0x6b414653, network('afs')],
  [0x01021997, network('9p')],
  [0x65735546, network('fuse', 0, false)],
  [0x786f4256, network('vboxsf', 0, false)],
  // A bind mount of a container may be on top of anything.
  [0x794c7630, { ...local('overlay'), notifications: 'hints' }],
]);

const UNKNOWN: FileSystem = { ...network('unknown'), notifications: 'hints' };

/** The file system of a magic number as statfs answers it. */
export function fileSystemFor(magic: number): FileSystem {
  return BY_MAGIC.get(magic >>> 0) ?? { ...UNKNOWN, name: `unknown (0x${(magic >>> 0).toString(16)})` };
}

/** The file system of a folder. Throws the system's error, or one that says that it does not answer. */
export async function fileSystemOf(path: string): Promise<FileSystem> {
  return fileSystemFor(await fileSystemType(path));
}
