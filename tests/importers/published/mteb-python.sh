source .venv/bin/activate
python - <<'EOF'
import mteb
from mteb.cache import ResultCache

names = ["Vidore3HrRetrieval", "Vidore3PhysicsRetrieval"]
model = mteb.get_model("vidore/colSmol-500M")
mteb.evaluate(model, tasks=mteb.get_tasks(tasks=names), encode_kwargs={"batch_size": 2}, cache=ResultCache("out"))
EOF
