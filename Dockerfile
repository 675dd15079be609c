# The app with the embedded demo already built: runs offline, as an ordinary user.
FROM python:3.11-slim

RUN useradd --create-home studio
WORKDIR /home/studio/cbm-studio

COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY --chown=studio:studio . .
RUN pip install --no-cache-dir --no-deps -e . && chown -R studio:studio .

USER studio
ENV CBM_WORKSPACE=/home/studio/workspace HF_HUB_OFFLINE=1
RUN cbm demo

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"
CMD ["cbm", "app", "--host", "0.0.0.0", "--port", "8501"]
