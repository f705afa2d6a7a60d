//! Folders on offer, and the files in them that were hashed.

use std::path::{Path, PathBuf};

use netpay_protocol::ids::ContentId;
use rusqlite::{Row, params};

use super::{Tx, int, uint, units};
use crate::ports::{Folder, FolderFile, Folders, StoreError, Stored};

fn text(path: &Path) -> Stored<&str> {
    path.to_str().ok_or_else(|| StoreError::damaged("a path that is not UTF-8"))
}

fn path(row: &Row<'_>, column: &str) -> Stored<PathBuf> {
    Ok(PathBuf::from(row.get::<_, String>(column)?))
}

fn folder(row: &Row<'_>) -> Stored<Folder> {
    Ok(Folder { path: path(row, "path")?, price: units(row, "price")?, tags: row.get("tags")? })
}

fn file(row: &Row<'_>) -> Stored<FolderFile> {
    Ok(FolderFile {
        path: path(row, "path")?,
        size_bytes: uint(row, "size_bytes")?,
        modified_ns: uint(row, "modified_ns")?,
        content: ContentId(row.get("content")?),
    })
}

impl Folders for Tx<'_> {
    fn put_folder(&self, folder: &Folder) -> Stored<()> {
        let sql = "INSERT OR REPLACE INTO folders (path, price, tags) VALUES (?, ?, ?)";
        self.run(sql, params![text(&folder.path)?, int(folder.price.0)?, folder.tags]).map(|_| ())
    }

    fn folders(&self) -> Stored<Vec<Folder>> {
        self.rows("SELECT * FROM folders ORDER BY path", [], folder)
    }

    fn remove_folder(&self, path: &Path) -> Stored<bool> {
        Ok(self.run("DELETE FROM folders WHERE path = ?", [text(path)?])? == 1)
    }

    fn folder_files(&self, folder: &Path) -> Stored<Vec<FolderFile>> {
        self.rows("SELECT * FROM folder_files WHERE folder = ? ORDER BY path", [text(folder)?], file)
    }

    fn put_folder_file(&self, folder: &Path, file: &FolderFile) -> Stored<()> {
        let sql = "INSERT OR REPLACE INTO folder_files (path, folder, size_bytes, modified_ns, content) \
                   VALUES (?, ?, ?, ?, ?)";
        let (size_bytes, modified_ns) = (int(file.size_bytes)?, int(file.modified_ns)?);
        self.run(sql, params![text(&file.path)?, text(folder)?, size_bytes, modified_ns, file.content.0]).map(|_| ())
    }

    fn forget_folder_file(&self, path: &Path) -> Stored<()> {
        self.run("DELETE FROM folder_files WHERE path = ?", [text(path)?]).map(|_| ())
    }

    fn file_with(&self, content: ContentId) -> Stored<Option<(PathBuf, FolderFile)>> {
        let sql = "SELECT * FROM folder_files WHERE content = ? ORDER BY path LIMIT 1";
        self.row(sql, [content.0], |row| Ok((path(row, "folder")?, file(row)?)))
    }

    fn mark_share(&self, content: ContentId, folder: &Path) -> Stored<()> {
        let sql = "UPDATE shares SET folder = ? WHERE content = ?";
        self.run(sql, params![text(folder)?, content.0]).map(|_| ())
    }

    fn folder_of(&self, content: ContentId) -> Stored<Option<PathBuf>> {
        let sql = "SELECT folder FROM shares WHERE content = ? AND folder IS NOT NULL";
        self.row(sql, [content.0], |row| path(row, "folder"))
    }
}
