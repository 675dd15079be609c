"""Code that uses an exported model, as it fits the model."""

from __future__ import annotations

from cbm.backbones.architectures import DEMO
from cbm.model.concept_model import ConceptModel

_SPACES = {
    "l2": "embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)  # the model expects unit length\n",
    "raw": "",
    "centred": "",
}


def onnx_example(model: ConceptModel) -> str:
    """From a picture to a class with open_clip and onnxruntime alone."""
    return f"""import json

import numpy as np
import onnxruntime
{_imports(model)}from PIL import Image

{_embedding(model)}{_SPACES[model.space]}
session = onnxruntime.InferenceSession("model.onnx")
logits, activations = session.run(["logits", "activations"], {{"embeddings": embedding.astype(np.float32)}})
classes = json.load(open("config.json"))["classes"]
print(classes[logits[0].argmax()])
"""


def library_example() -> str:
    """Prediction, reasons and an edit with this library."""
    return """from cbm.model import ConceptModel

model = ConceptModel.load(".")  # the folder of the bundle
explanation = model.explain(embedding[0])
print(explanation.predicted_class)
for part in explanation.top(5):
    print(f"{part.name:30} {part.contribution:+.2f}")

# Without the strongest concept:
edited = model.edited(*model.ablate(explanation.top(1)[0].name))
print(edited.predict(embedding).names)
"""


def command_line_example(folder: str) -> str:
    """The command line on the bundle."""
    return f"""cbm explain {folder} photo.jpg         # the prediction of a picture, and its concepts
cbm load {folder}.zip --on EMBEDDINGS   # take it into another workspace
sha256sum -c SHA256SUMS                 # inside the folder: has anything changed since the export?
"""


def _imports(model: ConceptModel) -> str:
    return "from cbm.backbones.backbone import Backbone\n" if _is_demo(model) else "import open_clip\nimport torch\n"


def _is_demo(model: ConceptModel) -> bool:
    return model.backbone is None or model.backbone.architecture == DEMO


def _embedding(model: ConceptModel) -> str:
    if model.backbone is None or _is_demo(model):
        return 'embedding = Backbone("demo").encode_images([Image.open("photo.jpg")])  # the demo\'s own small CLIP\n'
    names = f'"{model.backbone.architecture}", pretrained="{model.backbone.pretrained}"'
    return f"""backbone, _, preprocess = open_clip.create_model_and_transforms({names})
backbone.eval()
with torch.no_grad():
    embedding = backbone.encode_image(preprocess(Image.open("photo.jpg")).unsqueeze(0)).float().numpy()
"""
