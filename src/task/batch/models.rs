//! What the plain images of a batch begin as clones of: for each ground a file with the disk of the host that comes first.

use std::path::Path;
use std::sync::Arc;

use crate::image::{Disk, Form};
use crate::seal::{Model, Output, Rehearsal};

use super::super::memo::Memo;

/// The files, made as they are asked for.
#[derive(Default)]
pub(super) struct Models(Memo<usize, Option<Arc<Model>>>);

impl Models {
    /// `output`, which `disk` on the ground that `rehearsal` is of goes into, begun as a clone where that can be. `input` is
    /// the file of the image, and `whose` temporary files in `folder` are.
    pub(super) fn begun(
        &self,
        output: Output,
        rehearsal: &Arc<Rehearsal>,
        disk: &Disk,
        input: &Path,
        (whose, folder): (&str, &Path),
    ) -> Output {
        if output.form() != Form::Raw {
            return output;
        }
        // A ground lasts as long as the batch, so that its place in memory tells it.
        let ground = Arc::as_ptr(rehearsal).addr();
        let model = self.0.get(ground, || Ok(Model::of(disk, input, whose, folder).map(Arc::new)));
        match model.ok().as_deref() {
            Some(Some(model)) => output.modelled(Arc::clone(model)),
            _ => output,
        }
    }
}
