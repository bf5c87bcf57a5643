//! Kernels, unpacked once each: that takes longer than anything else that is done to an image.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::image::{Image, Keep};
use crate::kernel::KernelExports;
use crate::progress::Progress;

use super::medium::Medium;
use super::scene::Scene;

/// A kernel file's content, and what the kernel exports.
type Known = (Arc<[u8]>, Arc<KernelExports>);

/// What the kernels met so far export. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct UnpackedKernels(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    known: Vec<Known>,
    /// Works on the kernels of an image that is still being read.
    ahead: Option<JoinHandle<Vec<Known>>>,
}

impl UnpackedKernels {
    /// Opens the image at `path`, and begins to unpack its kernels as soon as they are read.
    ///
    /// # Errors
    /// As [`Image::open_showing`].
    pub(super) fn opening(keep: Keep, path: &Path, progress: &dyn Progress) -> Result<(Image, Self)> {
        let unpacked = Self::default();
        let image = Image::open_showing(&mut |early| unpacked.begin(early), keep, path, progress)?;
        Ok((image, unpacked))
    }

    /// Begins to unpack the kernels of `image`, which is read up to the end of its boot partition, in a thread beside.
    fn begin(&self, image: Image) {
        let work = move || {
            let kernels = Scene::survey(Medium::Image(image), None).kernels;
            let contents = kernels.into_iter().filter_map(|kernel| kernel.content.ok());
            contents
                .filter_map(|content| KernelExports::read(&content).ok().map(|exports| (content, Arc::new(exports))))
                .collect()
        };
        // Without a thread the work is done when it is asked for.
        self.state().ahead = std::thread::Builder::new().name("kernel".to_owned()).spawn(work).ok();
    }

    /// What the kernel with this content exports.
    ///
    /// # Errors
    /// As [`KernelExports::read`].
    pub(super) fn read(&self, content: &Arc<[u8]>) -> Result<Arc<KernelExports>> {
        // Held while unpacking: whoever asks for the same kernel waits for it.
        let mut state = self.state();
        if let Some(ahead) = state.ahead.take() {
            // Had it failed, the kernel would be unpacked here, and fail in sight.
            state.known.extend(ahead.join().unwrap_or_default());
        }
        if let Some((known, exports)) =
            state.known.iter_mut().find(|(known, _)| Arc::ptr_eq(known, content) || known == content)
        {
            // Who comes with the same content again need not have it compared.
            *known = Arc::clone(content);
            return Ok(Arc::clone(exports));
        }
        let exports = Arc::new(KernelExports::read(content)?);
        state.known.push((Arc::clone(content), Arc::clone(&exports)));
        Ok(exports)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
