//! How is a file of the settings read, so that none holds the relay up or fills its memory?
//!
//! A pipe is a file too (`--config <(…)`, a FIFO), and so is `/dev/zero`. One that has no writer, or whose writer says nothing,
//! would hold a start or a reload for ever.

use std::{io, path::Path};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    io::{Errno, read as read_some, retry_on_intr},
};

/// How long nothing may come of a pipe.
const SILENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Read at once, in bytes.
const PIECE: usize = 16 * 1024;

/// The bytes of a file of at most `longest`.
///
/// # Errors
/// It cannot be read, is longer, or is a pipe of which nothing has come for 5 s.
pub(super) fn read(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let (mut bytes, mut piece) = (Vec::new(), [0; PIECE]);
    loop {
        match retry_on_intr(|| read_some(&fd, &mut piece)) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::IN)];
                if retry_on_intr(|| poll(&mut fds, Some(&SILENCE)))? == 0 {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it is a pipe of which nothing comes"));
                }
            }
            Err(errno) => return Err(errno.into()),
        }
        if bytes.len() > longest {
            return Err(io::Error::other(format!("it is longer than {} KiB", longest / 1024)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, thread};

    use super::*;

    #[test]
    fn a_file_is_read_whole_up_to_the_longest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (length, is_read) in
            [(0, true), (1, true), (2 * PIECE + 1, true), (3 * PIECE, true), (3 * PIECE + 1, false)]
        {
            fs::write(&path, vec![7; length]).unwrap();
            let read = read(&path, 3 * PIECE);
            assert_eq!(read.as_ref().ok().map(Vec::len), is_read.then_some(length), "{read:?}");
        }
        assert!(read(Path::new("/dev/zero"), PIECE).unwrap_err().to_string().contains("longer than 16 KiB"));
        assert_eq!(read(dir.path(), PIECE).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn a_pipe_is_read_as_it_comes_and_one_without_a_writer_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(read(&path, PIECE).unwrap(), b"");
        // as long as somebody may write, the end has not come
        let mut writer = fs::File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"what comes ").unwrap();
        let reader = thread::spawn(move || read(&path, PIECE));
        while rustix::io::ioctl_fionread(&writer).unwrap() > 0 {
            thread::yield_now();
        }
        writer.write_all(b"later").unwrap();
        while rustix::io::ioctl_fionread(&writer).unwrap() > 0 {
            thread::yield_now();
        }
        drop(writer);
        assert_eq!(reader.join().unwrap().unwrap(), b"what comes later");
    }
}
